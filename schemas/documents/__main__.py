"""`python -m schemas.documents` writes the generated documents anew."""

from . import DOCUMENTS, GENERATED, text_of

for name in DOCUMENTS:
    (GENERATED / f"{name}.json").write_text(text_of(name), encoding="utf-8")
