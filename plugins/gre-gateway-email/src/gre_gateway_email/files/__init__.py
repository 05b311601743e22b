"""Files of plain mail: links of users become attachments, attachments become links (XEP-0066, XEP-0363)."""
