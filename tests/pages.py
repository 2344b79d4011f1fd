"""Pages as text, read by a strict eye."""

from __future__ import annotations

from html.parser import HTMLParser

from reports.page import page

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Checked(HTMLParser):
    """Collects tags, ids and attributes, and insists that tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        told = dict(attrs)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told[name] for name in ("href", "src", "xlink:href") if name in told]
        assert not any(name.startswith("on") for name in told)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(run):
    page.write(run)
    return run.page_path.read_text(encoding="utf-8")
