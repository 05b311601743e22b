// One step with OpenPGP.js: its name as the argument, a JSON object on standard input, a JSON object on standard output.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const openpgp = createRequire(process.env.OPENPGPJS)("openpgp");
const order = JSON.parse(readFileSync(0, "utf-8"));
const binary = (text) => new Uint8Array(Buffer.from(text, "base64"));
const base64 = (bytes) => Buffer.from(bytes).toString("base64");

const steps = {
    async key() {
        const modern = { type: "curve25519", config: { v6Keys: true, aeadProtect: true } };
        const { privateKey, publicKey } = await openpgp.generateKey({
            userIDs: [{ email: order.address }], ...(order.kind === "v6" && modern),
        });
        return { privateKey, publicKey };
    },
    async encrypt() {
        return {
            message: await openpgp.encrypt({
                message: await openpgp.createMessage({ binary: binary(order.content) }),
                encryptionKeys: await openpgp.readKey({ binaryKey: binary(order.theirs) }),
                signingKeys: await openpgp.readPrivateKey({ armoredKey: order.privateKey }),
            }),
        };
    },
    async decrypt() {
        const theirs = await openpgp.readKey({ binaryKey: binary(order.theirs) });
        const { data, signatures } = await openpgp.decrypt({
            message: await openpgp.readMessage({ armoredMessage: order.message }),
            decryptionKeys: await openpgp.readPrivateKey({ armoredKey: order.privateKey }),
            verificationKeys: theirs,
            format: "binary",
        });
        let signature = `${signatures.length} signatures`, signer = "";
        if (signatures.length === 1) {
            try {
                await signatures[0].verified;
                signature = "good";
                signer = (await theirs.getSigningKey(signatures[0].keyID)) && theirs.getFingerprint();
            } catch (error) {
                signature = error.message;
            }
        }
        return { content: base64(data), signature, signer };
    },
};
process.stdout.write(JSON.stringify(await steps[process.argv[2]]()));
