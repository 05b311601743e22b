"""Texts and names from mail that people will see: charsets, HTML, flowed lines, names of files.

What formatters and gateways of mail share. None of it raises, whatever comes, and all of it takes linear time.
"""
