// What a user does in Thunderbird; run inside it, see marionette.py. The same modules work behind its buttons.
const load = name => ChromeUtils.importESModule(name);
const { MailServices } = load("resource:///modules/MailServices.sys.mjs");
const { MailUtils } = load("resource:///modules/MailUtils.sys.mjs");
const { NetUtil } = load("resource://gre/modules/NetUtil.sys.mjs");
const { setTimeout } = load("resource://gre/modules/Timer.sys.mjs");
const { EnigmailKeyRing } = load("chrome://openpgp/content/modules/keyRing.sys.mjs");
const { OpenPGPMasterpass } = load("chrome://openpgp/content/modules/masterpass.sys.mjs");
const { PgpSqliteDb2 } = load("chrome://openpgp/content/modules/sqliteDb.sys.mjs");
const { RNP } = load("chrome://openpgp/content/modules/RNP.sys.mjs");
const { BondOpenPGP } = load("chrome://openpgp/content/BondOpenPGP.sys.mjs");

async function until(what) {
  for (let tries = 0; tries < 1000; tries++) {
    const found = await what();
    if (found) {
      return found;
    }
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain for: ${what}`);
}

const identityOf = address => MailServices.accounts.allIdentities.find(each => each.email == address);

async function receive(mail) {
  const root = MailServices.accounts.localFoldersServer.rootFolder;
  if (!root.containsChildNamed("mail")) {
    root.createSubfolder("mail", null);
    await until(() => root.containsChildNamed("mail"));
  }
  const folder = root.getChildNamed("mail").QueryInterface(Ci.nsIMsgLocalMailFolder);
  return folder.addMessage(atob(mail));
}

async function contentOf(url) {
  const channel = NetUtil.newChannel({ uri: url, loadUsingSystemPrincipal: true });
  return new Promise((resolve, reject) =>
    NetUtil.asyncFetch(channel, (stream, status) => {
      if (Components.isSuccessCode(status)) {
        resolve(btoa(NetUtil.readInputStreamToString(stream, stream.available())));
      } else {
        reject(new Error(`${url}: ${status}`));
      }
    })
  );
}

const steps = {
  async ready() {
    await until(() => Services.wm.getMostRecentWindow("mail:3pane")?.document.readyState == "complete");
    await BondOpenPGP.init();
    return Services.appinfo.version;
  },

  // An account with a new key, an SMTP server, and the wish to encrypt; all else as it is.
  async account({ address, port }) {
    const password = await OpenPGPMasterpass.retrieveOpenPGPPassword();
    const id = await RNP.genKey(`Olivia <${address}>`, "ECC", 0, 0, password);
    EnigmailKeyRing.clearCache();
    await PgpSqliteDb2.acceptAsPersonalKey(EnigmailKeyRing.getKeyById(`0x${id}`).fpr);
    const smtp = MailServices.outgoingServer.createServer("smtp").QueryInterface(Ci.nsISmtpServer);
    smtp.hostname = "127.0.0.1";
    smtp.port = port;
    smtp.authMethod = Ci.nsMsgAuthMethod.none;
    smtp.socketType = Ci.nsMsgSocketType.plain;
    const identity = MailServices.accounts.createIdentity();
    identity.email = address;
    identity.fullName = "Olivia";
    identity.smtpServerKey = smtp.key;
    identity.doFcc = false;
    identity.composeHtml = false;
    identity.setUnicharAttribute("openpgp_key_id", id);
    identity.encryptionPolicy = 2;
    identity.signMail = true;
    const account = MailServices.accounts.createAccount();
    account.incomingServer = MailServices.accounts.createIncomingServer("olivia", "outside.example", "none");
    account.addIdentity(identity);
    return RNP.getMultiplePublicKeys([`0x${id}`], [], []);
  },

  // "Yes, I have verified in person that the key of this person has the correct fingerprint."
  async learn({ certificate, address }) {
    const { importedKeys } = await RNP.importPubkeyBlockAutoAcceptImpl(null, atob(certificate), "unverified");
    EnigmailKeyRing.clearCache();
    await PgpSqliteDb2.updateAcceptance(EnigmailKeyRing.getKeyById(importedKeys[0]).fpr, [address], "verified");
  },

  async read({ mail }) {
    const window = MailUtils.openMessageInNewWindow(await receive(mail));
    const shown = await until(() => {
      const inner = window.document.getElementById("messageBrowser")?.contentWindow;
      return inner?.location.href == "about:message" && inner.msgLoaded ? inner : null;
    });
    const icon = id => shown.document.getElementById(id).getAttribute("src") ?? "none";
    await until(() => icon("encryptedHdrIcon") != "none");
    const files = {};
    for (const { name, url } of shown.currentAttachments) {
      files[name] = await contentOf(url);
    }
    const signer = EnigmailKeyRing.getKeyById(`0x${shown.Enigmail.hdrView.msgSignatureKeyId}`);
    const result = {
      encrypted: icon("encryptedHdrIcon"),
      signed: icon("signedHdrIcon"),
      signer: signer?.fpr ?? "",
      subject: shown.document.getElementById("expandedsubjectBox").value.textContent,
      text: shown.getMessagePaneBrowser().contentDocument.querySelector(".moz-text-plain, .moz-text-flowed").textContent,
      files,
    };
    window.close();
    return result;
  },

  async answer({ mail, address, subject, text, paths }) {
    const header = await receive(mail);
    const folder = header.folder;
    MailServices.compose.OpenComposeWindow(
      null, header, folder.getUriForMsg(header), Ci.nsIMsgCompType.ReplyToSender, Ci.nsIMsgCompFormat.PlainText,
      identityOf(address), null, null
    );
    const window = await until(() => {
      const opened = Services.wm.getMostRecentWindow("msgcompose");
      return opened?.composeEditorReady && opened.gMsgCompose?.compFields.to ? opened : null;
    });
    window.document.getElementById("msgSubject").value = subject;
    const editor = window.GetCurrentEditor();
    editor.selectAll();
    editor.insertText(text);
    await window.AddAttachments(paths.map(path => {
      const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
      file.initWithPath(path);
      const attachment = Cc["@mozilla.org/messengercompose/attachment;1"].createInstance(Ci.nsIMsgAttachment);
      attachment.url = Services.io.newFileURI(file).spec;
      attachment.name = file.leafName;
      attachment.size = file.fileSize;
      return attachment;
    }));
    await until(() => window.gSendEncrypted && window.gSendSigned);
    window.goDoCommand("cmd_sendNow");
    await until(() => window.closed);
  },
};
