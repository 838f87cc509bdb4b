"""What the hub's cards call licences, as SPDX names: https://hf.co/docs/hub/repositories-licenses."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "NOASSERTION"
SPDX: Mapping[str, str] = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "ISC"),
        *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0"),
        *("CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0"),
        *("MPL-2.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "Artistic-2.0", "BSL-1.0", "Zlib"),
        *("AFL-3.0", "OSL-3.0", "MS-PL", "ODbL-1.0", "Unlicense", "WTFPL", "PostgreSQL", "NCSA"),
    )
} | {
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
}
