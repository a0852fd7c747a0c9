"""The conformance statement, made of the tables that the code itself works with.

References
----------
PS3.2 Conformance, Annex N (structure of a statement).
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, IntEnum

from pydicom.charset import python_encoding
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.presentation import PresentationContext

from db.repository.query_keys import COMPUTED, MATCHED, RETURNED, Level
from dicom_out.association import MAX_CONTEXTS
from dicom_out.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_out.product import MANUFACTURER
from handlers.answer import FROM_FILE
from handlers.commitment import ReportStatus
from handlers.commitment_request import RequestStatus
from handlers.identifier import SOP_CLASSES
from handlers.lobby import ARTIM_S
from handlers.query import QueryStatus
from handlers.refusals import Reason
from handlers.status import StoreStatus
from handlers.sub_operations import RetrieveStatus
from handlers.upper_layer import MAX_PDU, AbortReason
from node.config import Config, shipped
from node.retrieval import QueryRetrieveScp
from node.server import entity_of

COMMAND = ".venv/bin/python scripts/conformance.py"
_SECTIONS = ("dicom", "outbox", "query_retrieve", "storage_commitment")
_SETTING = re.compile(r"#? ?(?P<name>[a-z_]+|\"[^\"]+\") = (?P<value>.*?)\s*(?:  # (?P<comment>.*))?")

_SERVICES: Mapping[str, tuple[type[IntEnum], str]] = {
    "C-STORE": (StoreStatus, "Level 2 (full): every attribute is kept as it came, and nothing is coerced."),
    "C-FIND": (
        QueryStatus,
        (
            "{models}. Relational queries are agreed on; combined date and time, fuzzy matching of names, time zones "
            "and conversion of enhanced images are not."
        ),
    ),
    "C-MOVE and C-GET": (
        RetrieveStatus,
        (
            "{models}. Destinations are those of the configuration. Objects are sent in the transfer syntax that they "
            "have; deflated ones inflated where only that is taken."
        ),
    ),
    "N-ACTION, storage commitment as provider": (
        RequestStatus,
        (
            "Reports go to the destination with the AE title of the peer, on a new association in which we propose the "
            "SCP's role; else on that of the request."
        ),
    ),
    "N-EVENT-REPORT, storage commitment as user": (
        ReportStatus,
        "A report is taken on the association of the request, or on a new one in which the peer takes the SCP's role.",
    ),
}


def statement() -> str:
    """Return the statement, as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    config = Config()
    entity = entity_of(config.dicom)
    yield "# DICOM conformance statement"
    yield ""
    yield f"<!-- generated: {COMMAND} -->"
    yield ""
    yield f"Of {MANUFACTURER}. Every table is made of what the code works with; a test fails when this page is old."
    yield from _overview()
    yield from _associations(config, entity)
    yield from _accepted(config, entity)
    yield from _services()
    yield from _keys()
    yield from _character_sets()
    yield from _settings()


def _overview() -> Iterator[str]:
    yield from _heading("Network services")
    yield from _table(
        ("service", "as user (SCU)", "as provider (SCP)", "on"),
        [
            ("Verification", "yes", "yes", "always"),
            (
                "Storage",
                "results (docs/delivery.md), and what is retrieved",
                "every SOP class, private ones too",
                "always",
            ),
            ("Query/Retrieve", "no", "C-FIND, C-MOVE, C-GET", "`query_retrieve.calling_ae_titles`"),
            (
                "Storage Commitment (push model)",
                "of results, and of promised images",
                "yes",
                "`storage_commitment` of a destination; `storage_commitment.calling_ae_titles`",
            ),
        ],
    )


def _associations(config: Config, entity: AE) -> Iterator[str]:
    yield from _heading("Associations")
    yield from _table(
        ("", ""),
        [
            ("Application context", "1.2.840.10008.3.1.1.1"),
            ("Implementation class UID of files", f"{IMPLEMENTATION_CLASS_UID}"),
            ("Implementation version name of files", IMPLEMENTATION_VERSION_NAME),
            ("Implementation class UID of associations", f"{entity.implementation_class_uid}"),
            ("Implementation version name of associations", f"{entity.implementation_version_name}"),
            ("Maximum length of a PDU", f"{MAX_PDU}"),
            ("Associations at once, as acceptor", f"{entity.maximum_associations}, `dicom.maximum_associations`"),
            ("Waits for a request after connecting (ARTIM)", f"{ARTIM_S:g} s"),
            ("Waits in an association", f"{entity.network_timeout:g} s, `dicom.network_timeout_s`"),
            ("Waits for an answer, as requestor", f"{config.outbox.timeout_s:g} s, `outbox.timeout_s`"),
            ("Presentation contexts proposed at most", f"{MAX_CONTEXTS}"),
            ("Asynchronous operations window", "1 each way"),
            ("Secure transport", "TLS by BCP 195, `dicom.tls_port`, `[dicom.tls]`, and `tls` of a destination"),
            ("User identity", "user name, with or without passcode; `[dicom.users]`"),
        ],
    )
    yield ""
    yield "An association, or a connection before it, is refused for one of these reasons, which are counted:"
    yield ""
    yield from _table(("reason", ""), [(str(reason.value), text) for reason, text in _documented(Reason)])
    yield ""
    yield "The provider aborts with these reasons (A-ABORT, PS3.8 9.3.8):"
    yield ""
    yield from _table(("reason", "is"), [(str(r.value), _words(r.name)) for r in AbortReason])


def _accepted(config: Config, entity: AE) -> Iterator[str]:
    yield from _heading("Presentation contexts accepted")
    yield "Storage: every storage SOP class, private and unknown ones too, in the first transfer syntax that is"
    yield "proposed, whatever it is; as SCU too where the peer takes the SCP's role, for C-GET. Beside those:"
    yield ""
    retrieval = QueryRetrieveScp(lambda: config, lambda: None, root=config.storage.path)
    contexts = [*entity.supported_contexts, *retrieval.contexts]
    yield from _table(("SOP class", "UID", "transfer syntaxes", "the peer's roles"), map(_context, contexts))


def _context(context: PresentationContext) -> tuple[str, ...]:
    sop_class = UID(str(context.abstract_syntax))
    syntaxes = ", ".join(UID(syntax).name for syntax in context.transfer_syntax)
    roles = [name for name, role in (("SCU", context.scu_role), ("SCP", context.scp_role)) if role] or ["SCU"]
    if sop_class == "1.2.840.10008.1.20.1":
        roles = ["SCU", "SCP, to report to us"]
    return sop_class.name, str(sop_class), syntaxes, "; ".join(roles)


def _services() -> Iterator[str]:
    for title, (statuses, what) in _SERVICES.items():
        yield from _heading(title)
        yield what.format(models=_models())
        yield ""
        yield from _table(("status", "", "when"), map(_status, _documented(statuses)))


def _models() -> str:
    roots = {UID(uid).name.split(" Query")[0] for uid in SOP_CLASSES}
    return f"{' and '.join(sorted(roots))} models, levels {', '.join(level.name for level in Level)}"


def _status(documented: tuple[Enum, str]) -> tuple[str, str, str]:
    status, text = documented
    return f"0x{status.value:04X}", _words(status.name), text


def _keys() -> Iterator[str]:
    yield from _heading("Keys of queries")
    yield "A key is matched, or only returned; of the latter, those of the level of images are all that the object's"
    yield "header has. How each kind is matched: docs/query-retrieve.md."
    yield ""
    rows = []
    for level in Level:
        above = Level(level - 1) if level else None
        own = set(RETURNED[level]) - (set(RETURNED[above]) if above is not None else set())
        own |= {keyword for keyword, of in COMPUTED.items() if of is level} | FROM_FILE[level] | set(MATCHED[level])
        matched = sorted(set(MATCHED[level]))
        rows.append((level.name, ", ".join(matched), ", ".join(sorted(own - set(matched)))))
    yield from _table(("level", "matched and returned", "returned"), rows)


def _character_sets() -> Iterator[str]:
    yield from _heading("Character sets")
    terms = sorted(term for term in python_encoding if term)
    yield f"Read, matched and answered: {', '.join(terms)}, and those without code extensions as the default. Results"
    yield "are written in ISO_IR 192; objects that are kept or sent are not changed."


def _settings() -> Iterator[str]:
    yield from _heading("Configuration")
    yield "Of `config.toml`, with the values that it comes with; `opacity-node config` prints all of it."
    yield ""
    yield from _table(("setting", "value", ""), _settings_of(shipped()))


def _settings_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Read settings of the network with what is said of them."""
    section, row = "", None
    for line in text.splitlines():
        if header := re.match(r"\[+([a-z_.]+)\]+", line):
            section = header[1]
        elif row and re.match(r"\s{8,}# ", line):
            row = (row[0], row[1], f"{row[2]} {line.strip(' #')}")
            continue
        if row:
            yield row
        setting = _SETTING.fullmatch(line) if section.split(".")[0] in _SECTIONS else None
        row = (f"`{section}.{setting['name']}`", f"`{setting['value']}`", setting["comment"] or "") if setting else None


def _documented(kind: type[Enum]) -> Iterator[tuple[Enum, str]]:
    """Yield the members of an enumeration with what is written below each."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            says = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if says else ""  # type: ignore[union-attr]
            yield kind[target.id], " ".join(text.split())


def _words(name: str) -> str:
    return name.replace("_", " ").lower().replace("sop ", "SOP ").replace("pdu", "PDU")


def _heading(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
