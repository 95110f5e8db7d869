"""The package in Swift is generated. No compiler is here: what has broken one before is looked for in the text."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.clients.workshop import OPENAPI, ROOT, blocks, commands, folder_of, need, python_tools, sh

pytestmark = pytest.mark.clients

SCHEMAS = json.loads((OPENAPI / "openapi.json").read_text())["components"]["schemas"]
# What comes with the language and with Foundation, of all that is named.
KNOWN = {"Any", "AnyObject", "Bool", "Data", "Date", "Double", "Int", "Int64", "Set", "String", "UUID", "URL", "Void"}
DECLARED = re.compile(
    r"^\s*(?:public |open |internal |final )*(?:struct|class|enum|protocol|typealias) (\w+)", re.MULTILINE
)
PROPERTY = re.compile(r"^    public var (\w+): ([^={]+?)(?: = .+)?$", re.MULTILINE)
WIRE_NAME = re.compile(r'^        case `?(\w+)`?(?: = "(\w+)")?$', re.MULTILINE)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """The generated files, by name."""
    need("java", "the package in Swift was not generated.")
    python_tools()
    folder = folder_of("swift")
    (generate,) = commands(folder / "README.md")
    sh(generate, folder)
    assert (folder / "generated" / "Package.swift").is_file()
    return {file.stem: file.read_text() for file in Path(folder, "generated", "Sources").rglob("*.swift")}


def test_each_type_is_declared_once_and_no_other_is_named(sources: dict[str, str]) -> None:
    models = {name: text for name, text in sources.items() if name in SCHEMAS}
    declared = Counter(found for text in sources.values() for found in DECLARED.findall(text))
    assert {name for name in models if declared[name] != 1} == set()
    named = {
        word
        for text in models.values()
        for _, kind in PROPERTY.findall(text)
        for word in re.findall(r"[A-Za-z]\w*", kind)
    }
    assert len(named) > 50
    assert named - KNOWN - {*declared} == set()


def test_each_call_names_types_that_exist(sources: dict[str, str]) -> None:
    declared = {found for text in sources.values() for found in DECLARED.findall(text)}
    calls = "".join(text for name, text in sources.items() if name.endswith("API"))
    signatures = re.findall(
        r"^    open class func (\w+)\((.*?)\)(?: async)?(?: throws\(\w+\))?(?: -> ([^{]+))? {", calls, re.M
    )
    assert len(signatures) > 100  # two of each operation
    named = {word for _, taken, given in signatures for word in re.findall(r"\b[A-Z]\w*", f"{taken} {given}")}
    assert named - KNOWN - declared == set()


def test_each_enum_has_a_case_for_words_of_tomorrow(sources: dict[str, str]) -> None:
    enums = [name for name, schema in SCHEMAS.items() if "enum" in schema]
    assert len(enums) > 40
    assert [name for name in enums if "case unknownDefaultOpenApi = " not in sources[name]] == []
    for name in enums:
        words = re.findall(r'^    case `?\w+`? = "(\w+)"$', sources[name], re.MULTILINE)
        assert words == [*SCHEMAS[name]["enum"], "unknown_default_open_api"], name


def test_each_model_has_every_property_under_its_name_on_the_wire(sources: dict[str, str]) -> None:
    models = {name: schema for name, schema in SCHEMAS.items() if schema.get("properties")}
    assert len(models) > 60
    for name, schema in models.items():
        cases = sources[name].partition("CodingKeys")[2].partition("}")[0]
        assert {wire or plain for plain, wire in WIRE_NAME.findall(cases)} == {*schema["properties"]}, name


def test_what_broke_before_is_plain(sources: dict[str, str]) -> None:
    kinds = {name: dict(PROPERTY.findall(text)) for name, text in sources.items() if name in SCHEMAS}
    assert kinds["ConsentGiven"]["adult"] == "Bool"
    assert kinds["CheckInEntry"]["occurredAt"] == "String"
    assert kinds["Event"]["day"] == "String?"
    assert kinds["TrendPoint"]["counts"] == "JSONValue?"
    assert kinds["Perspectives"]["values"] == "[JSONValue]"
    assert "encodeIfPresent(token" in sources["DeviceRegistration"]
    assert not any("Date" in kind for one in kinds.values() for kind in one.values())


# --- The quickstart, which nobody has compiled

CALL = re.compile(r"\b(?:(\w+API)\.)?([A-Za-z]\w*)\((?=\w+: )")


def labels(taken: str) -> list[str]:
    """The names of arguments between two brackets, leaving out what stands in further ones."""
    while taken != (flat := re.sub(r"[(\[][^()\[\]]*[)\]]", "", taken)):
        taken = flat
    return re.findall(r"(?:^|, )(\w+):", taken)


def arguments(text: str, start: int) -> str:
    """What stands from a place up to the bracket that closes it."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    raise AssertionError(text[start:])


def test_the_quickstart_calls_what_exists(sources: dict[str, str]) -> None:
    text = (ROOT / "docs" / "quickstart-swift.md").read_text()
    code = "\n".join(blocks(text, "swift"))
    looked_at = set()
    for call in CALL.finditer(code):
        api, name = call.groups()
        declared = rf"open class func {name}\((.*)\) async" if api else r"public init\((.*)\) {"
        if not api and name not in SCHEMAS:
            continue
        (found,) = re.findall(declared, sources[api or name])
        known, given = labels(found), labels(arguments(code, call.end()))
        assert [label for label in known if label in given] == given, name
        looked_at.add(name)
    assert len(looked_at) > 12


def test_the_quickstart_names_words_and_properties_that_exist(sources: dict[str, str]) -> None:
    code = "\n".join(blocks((ROOT / "docs" / "quickstart-swift.md").read_text(), "swift"))
    for case in re.findall(r"\.(\w+)[,:]", code.partition("switch split.reading")[2].partition("default:")[0]):
        assert f"case {case} = " in sources["SplitReading"]
    for name in re.findall(r"split\.(\w+)", code):
        assert f"public var {name}: " in sources["Split"]
    assert "basePath: String" in sources["APIs"]
    assert "public var customHeaders: " in sources["APIs"]


def test_the_quickstart_generates_as_the_folder_says() -> None:
    serve, generate = blocks((ROOT / "docs" / "quickstart-swift.md").read_text(), "sh")
    (install,) = commands(OPENAPI / "clients" / "README.md")
    (made,) = commands(OPENAPI / "clients" / "swift" / "README.md")
    assert serve == "make serve\n"
    assert generate == f"cd openapi/clients\n{install}cd swift\n{made.removeprefix('rm -rf generated' + chr(10))}"
