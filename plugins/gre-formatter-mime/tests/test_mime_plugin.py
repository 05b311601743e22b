"""The plugin is found by its entry point, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from gre_formatter_mime import plugin
from gre_formatter_mime.formatter import MimeFormatter

from gre_core.api import ENTRY_POINT_GROUP, formatter


def test_the_entry_point_leads_to_the_provider() -> None:
    (point,) = entry_points(group=ENTRY_POINT_GROUP, name="mime")
    assert point.load() is plugin
    (provider,) = plugin.gre_formatters()
    assert str(provider.namespace) == "urn:xmpp:gre:formatter:mime:0"
    assert provider.namespace == formatter("mime", 0)
    assert provider.title == "GRE Formatter: MIME"
    assert not provider.dynamic_data
    assert isinstance(provider.make(), MimeFormatter)


def test_the_plugin_is_light_until_it_is_made() -> None:
    heavy = "{'pybase64', 'email', 'html', 'secrets', 'gre_formatter_mime.formatter', 'asyncio'}"
    code = (
        f"import sys, gre_core.api; heavy = {heavy} - set(sys.modules)\n"
        "import gre_formatter_mime.plugin as plugin; list(plugin.gre_formatters())\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "plugin.gre_formatters()[0].make(); print('email.parser' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "False", ""]
