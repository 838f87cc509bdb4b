"""The README names what its Python code imports: it is pasted into a clean environment."""

from __future__ import annotations

from olive_build.bundle.readme import _imported


def test_what_the_code_imports_is_named_as_pip_has_it() -> None:
    code = "```python\nimport numpy as np\nfrom PIL import Image\nimport onnxruntime\n```"
    assert _imported(code) == ["- numpy, pillow (pypi): the code below imports them"]
    assert _imported("```javascript\nimport { pipeline } from 'x';\n```") == []
