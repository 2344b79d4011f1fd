"""Text that a scenario or a file might bring, to do harm where it is shown."""

from __future__ import annotations

MARKUP = "<img src=x onerror=alert(1)> </details> & ]]> <!-- [red]boom[/red] {{ 7*7 }}"
MARKDOWN = "| a || b \\| c `` ` *bold* _it_ [link](https://evil.example) ![x](www.evil.example) @octocat #1 $x^2$ ~~s~~"
CONTROL = "\x1b[31mred\x1b[0m \x00 \x07 \r\n# heading\n\n---\n\u202e\ud800\ufffe \x9b31m\u2028end\\"
EVERYTHING = f"{MARKUP} {MARKDOWN} {CONTROL}"
LONG = "\N{SNOWMAN}" * 5000
