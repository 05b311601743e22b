"""Public keys and messages, made once by Sequoia and PGPy; their secret keys were thrown away."""

from __future__ import annotations

from base64 import b64decode

import pytest

ALICE = b64decode(
    """
    xjMEawOyAxYJKwYBBAHaRw8BAQdAUJ9lVRIVyUBxuAn8fmC9HduIQEfUrgKjELKBNhMEp0LNEzxhbGljZUBleGFtcGxlLm9yZz7C
    iQQTFgoAMQUCawOyAwIbAwMLCQcDFQoIAhYAAhkBAh4BFiEEj2O1Ul4K/jeaNzz8CpLuwVag7DAACgkQCpLuwVag7DCDOwD8DkE3
    0oZ8II53NNSZCY7kq7GNlJVTvny4UTYmlaT85FcBAKG9kt+vElGXpj0XZZ87qc8Idg5mfII1IVpwC0oQOsoMzjgEawOyAxIKKwYB
    BAGXVQEFAQEHQFE2Nredv59UefCQSOeEjO33b5JZHb0/6G1bL8zh7/0nAwEIB8J4BBgWCgAgBQJrA7IDAhsMFiEEj2O1Ul4K/jea
    Nzz8CpLuwVag7DAACgkQCpLuwVag7DCUVwD/Qvhs1n77ePEuF/N7/iYy9duE7nG+igcZkEsupMb05U8A/24BE83J7w8n/IOcX4Vc
    FZCahehYApmHnZ+nbk0oCf4F
    """
)
BOB = b64decode(
    """
    xjMEawOxxxYJKwYBBAHaRw8BAQdAWAX+8o972INddASxMo30ny0rprgV7lCHXodtfGdz+gLCwAsEHxYKAH0FgmsDsccDCwkHCRAi
    qXlR5VzUa0cUAAAAAAAeACBzYWx0QG5vdGF0aW9ucy5zZXF1b2lhLXBncC5vcmfAI4nmGqOHPr3c48OSq1iJQCDDuFiYzyo0ViVS
    EEhD8wMVCggCmwECHgkWIQRabrQXNZil7G9UvqciqXlR5VzUawAAA5wA/1HOFcD0ndGBSNHcnf7EDoPt1BykT3rgTB23itmxzVyd
    AP4iWqZMmNrdndTccbX1mc6iXfdLYXPDG0z3lmXfoeSPAM0VQm9iIDxib2JAZXhhbXBsZS5vcmc+wsAOBBMWCgCABYJrA7HHAwsJ
    BwkQIql5UeVc1GtHFAAAAAAAHgAgc2FsdEBub3RhdGlvbnMuc2VxdW9pYS1wZ3Aub3JncwOaQ0jjuyX8I6NyufllsDbdSrPLsR56
    +VMeABoYHtkDFQoIApkBApsBAh4JFiEEWm60FzWYpexvVL6nIql5UeVc1GsAAASDAQC5peAcHvO6nSG+4Ati5AiBx7IysZrwhW5B
    dTPN67iYZgEA5pOzSwpasByl/gR/X2SXRl7Fh5GNOMp4OGEKDuNmSAXNF3htcHA6Ym9iQGphYmJlci5leGFtcGxlwsALBBMWCgB9
    BYJrA7HHAwsJBwkQIql5UeVc1GtHFAAAAAAAHgAgc2FsdEBub3RhdGlvbnMuc2VxdW9pYS1wZ3Aub3JnGUdUSJM2y433m9IuAZkn
    9VZcXILInt+97FLdZ71dShYDFQoIApsBAh4JFiEEWm60FzWYpexvVL6nIql5UeVc1GsAAMkkAQCwvHhA8LklqcQGmwalYqIMm8ky
    Xd1x8N0eQhrbW6/YVAD/Q8usI11hHsOaLyhKQxfJnbK53BCUwfl9eC1+x7tmDA7OMwRrA7HHFgkrBgEEAdpHDwEBB0BN9bfe22C8
    z3C8kNIzqXXFUwxz23z/bsBRUkwfYzLk9sLAvwQYFgoBMQWCawOxxwkQIql5UeVc1GtHFAAAAAAAHgAgc2FsdEBub3RhdGlvbnMu
    c2VxdW9pYS1wZ3Aub3JnQ6h7I7JoSlLa6uWZWqeeeIxBtKhBSJqTHKpl95jWihUCmwK+oAQZFgoAbwWCawOxxwkQ+HzgFW4rR0RH
    FAAAAAAAHgAgc2FsdEBub3RhdGlvbnMuc2VxdW9pYS1wZ3Aub3JnZTFoXb738VkiLqV+1SBnb/Y6GTKS7QIs9pDGwQP0QnAWIQSu
    TPHQnlXVUXUWdcT4fOAVbitHRAAAaZMA/Ay1JBjd9OpBNB4XBnNDOetOrupmOybTcTTw//P5BhpcAP45KTpuJqf9+u9LNOQYTo/M
    TjubLoEceEMhRCmZGRUsBhYhBFputBc1mKXsb1S+pyKpeVHlXNRrAAAc+wD/fwgtzXlKxcNcKD9fG+47+E2e7elVu9X5+E6UuCCq
    UC4A/09Rh6hKiIOfZnwlTL1Iv/IGmn33rGEM60feTzP5w8cFzjgEawOxxxIKKwYBBAGXVQEFAQEHQM8QlsQ+xAEreyqJgTaBTWn3
    X1HhB3wdXFYa4HKyObQoAwEIB8LAAAQYFgoAcgWCawOxxwkQIql5UeVc1GtHFAAAAAAAHgAgc2FsdEBub3RhdGlvbnMuc2VxdW9p
    YS1wZ3Aub3JnvreQxNYv+ObDm9DofG1N2Dxf4LGq0Ioly3Ubo7T5VWkCmwwWIQRabrQXNZil7G9UvqciqXlR5VzUawAAF60A/jqK
    uy7kdNRaLmHGsKiWlIEBElLFEki5zOYauvDbDcBVAP9jK0fToh7lbFyGihaWx0Y0zil2kO65KfItUTEqbblbDg==
    """
)
CAROL_V6 = b64decode(
    """
    xioGawOxxxsAAAAgX2Hpc5UeyhtGCqGyzP7mR4ZLhPObNE8k0ZfM249JsgjCpgYfGwoAAAA3BYJrA7HHAwsJBwMVCggCmwECHgki
    IQbFWbrAEHiWf0ipxqcrY5al0DFpf1V0eRdybGbNhaihMwAAAADBmSCozRrJNIL6fIryMfL6XLM6ASoCwazQofCBDiHuEL5Fm0oi
    9rK+us7e14Jz176TIhP3/DjLqlrg7mb3rw/4jCt2Z6NUglZ1QRGTOdJiINynGOiSgJPpmMTDLuN3VVZvlQbNEzxjYXJvbEBleGFt
    cGxlLm9yZz7CqQYTGwoAAAA6BYJrA7HHAwsJBwMVCggCmQECmwECHgkiIQbFWbrAEHiWf0ipxqcrY5al0DFpf1V0eRdybGbNhaih
    MwAAAACdqiCnLXtHGuEpW3TXWBUvNIqM+pWka880RMOn49nrM9jdNp/Voay9WN298hGbSpRNPLeBJRKEKQljUX3DPcX2ebkRq1iF
    SAnn1G3E50w6kFlKMwoMQ6PEM1toddIQvsY7DAvOKgZrA7HHGQAAACBmjI/vWhWb6ke6tJFwhF0wZLsybtBJIwBhgtqvk6AKP8Kb
    BhgbCgAAACwFgmsDsccCmwwiIQbFWbrAEHiWf0ipxqcrY5al0DFpf1V0eRdybGbNhaihMwAAAADxWSBu5NtVbZyvLKf3YbY/w605
    dzyAQRLYpUNxw35XVu+cR1hmb+np2+rs15L88AXnfCrIoe7umUY0KEPNpNeF0CfSsj96EBgIAFJ4mlHZOcD0w8KlFkXb/M0/o50D
    aloSywbOKgZrA7HHGwAAACBBkEasDFPTkYPkyne2N4d1eQKIdDJho+NtsF6c3/tiuMLAdQYYGwoAAADGBYJrA7HHApsCmaAGGRsK
    AAAAKQWCawOxxyIhBk0kmvdbs4ZFrIExAXQwqdzqfF7yqKG+3pkgrFrrNf0iAAAAALKjIK1b4PHQJ8iFBB4v5kk27LY4m27JGfrt
    RWUZOkVc7GzECCAXalG+3N1TQhjiOg85x7vw9Xjqg3i4Z54IQ8wNrG8qIUzfPT8J89GvMY2501sFqZikfwN6rjaDer36PWClCSIh
    BsVZusAQeJZ/SKnGpytjlqXQMWl/VXR5F3JsZs2FqKEzAAAAAJTGIOh0+D58BMymFP22SaVwYwoU+PL0XPwq+ih6kFJt1JoImGO+
    FVYty5CN8Az1HxKMQJPuWyDfoS6LLoZIDapk5i4vcTF8OdUYW9870odUQZLXE50oiRtJ2WPxJQBAqat3AA==
    """
)
TO_ALICE_AND_BOB = b64decode(
    """
    wV4DEfqAnllg9Z0SAQdAej4VSoEcgtOHk86b6sGoz0M+CgGo7QK0qkHZJsbRPhQwD8Vjzy1rISJ/EnV7eZJDDt6wh9uW1TVGO1e1
    FtvRt9uUUwT5nK87AIFwWFQX7MEvwV4DQMn7h2G3MssSAQdABXk83s1xnwPmKjAMA4CZiomvSqgNBVknLlSkez6M1W0wg6vvKRqB
    /gNnveiL8+WEGGSzJCWWdC5KzWGp6CSRDzqMLKgeV3H/V3wFqpDLmkLW0sBBAVk457fK6BfAxU/YsYjIrH0vhYaKgOVoSHqq50Hk
    iX7dL7CtGLZp9LmBKmNrPEERBXsBHiafh6MR9rwJtxq3pq69tdAVpHSbwTxGcVw9fe2zhHpAoo/P4l9JQQZnjOjoOdY5BVuDSKJP
    o/bQsOUDxTqIQbhXCLifhp+kWysU6Jzyw1wamy5rXXGxvglvh9nyYiofeQx9HPABQpnkWOnNYlWgqU9AAMItaC0Xg/cy7XXNQM6u
    KLlTkFNhc/rzAtJvIlKU0QFJ7fP7Waa9d74ikDhC37lwk152UEepGp7rzNZu90iETB6D4t9j/20sN2lSrArWynOZdcSTBNSTwMZW
    h10=
    """
)
TO_CAROL = b64decode(
    """
    wW0GIQZdEn39yQRi1+D6v9wUJ2pgoI8WtD0ZeL4y49yea91oQRlgRDfwHnUbEKO68z9U5KMUdAHplRt8spYYCp38avYvNigxSp8K
    VdxTQLQxgWPcpGbgWVh3aMd3iOk54uZq1MDBY0OBLyd7DN9l0k4CCQIGDvY4TDcaOVbFKmwMnEit5kk7dmbDSG6m3ZSTMsxq25o1
    eJv+88iTf7PZpfUP0l+zEPR9cVjVdfuJgRXgajEF9OhqnbKDrzwm87s=
    """
)


@pytest.fixture
def alice() -> bytes:
    """Version 4, Ed25519 and Curve25519, with the user id ``<alice@example.org>``."""
    return ALICE


@pytest.fixture
def bob() -> bytes:
    """Version 4, three keys, with a second user id ``xmpp:bob@jabber.example``."""
    return BOB


@pytest.fixture
def carol() -> bytes:
    """Version 6."""
    return CAROL_V6


@pytest.fixture
def message() -> bytes:
    """To Alice and Bob, SEIPDv1."""
    return TO_ALICE_AND_BOB


@pytest.fixture
def message_v6() -> bytes:
    """To Carol, PKESK version 6 and SEIPDv2."""
    return TO_CAROL
