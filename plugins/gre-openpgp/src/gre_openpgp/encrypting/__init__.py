"""All of an OpenPGP encrypter but the OpenPGP library: keys and their trust, own keys, messages, the worker process.

It needs the extra ``gre-openpgp[encrypter]``. An encrypter gives it an :class:`~gre_openpgp.encrypting.engine.Engine`.
"""
