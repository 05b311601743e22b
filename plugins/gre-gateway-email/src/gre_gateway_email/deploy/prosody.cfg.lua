-- Prosody: append to /etc/prosody/prosody.cfg.lua, or copy to /etc/prosody/conf.d/gre-email-gateway.cfg.lua.
-- Then: prosodyctl check config && systemctl restart prosody

-- Prosody takes components on port 5347 of this machine. Another port stands in the global part of the file, before the
-- first VirtualHost: component_ports = { $xmpp_port }
Component "$component"
    component_secret = "$secret"

-- Users find the gateway by themselves when it is a subdomain of their server. Otherwise name it there:
-- VirtualHost "$xmpp_domain"
--     disco_items = { { "$component", "Email" } }
