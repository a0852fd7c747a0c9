import tomllib
from pathlib import Path

import pytest

from node import config
from node.config import Config, ConfigError
from node.rules import Rule, When

SHIPPED = Path(__file__).parents[3] / "config.toml"


def write(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_says_exactly_what_is_built_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built_in = config.load().model_dump(exclude={"storage"})
    assert config.load(SHIPPED).model_dump(exclude={"storage"}) == built_in


def test_the_shipped_file_names_every_setting():
    shipped = tomllib.loads(SHIPPED.read_text())
    for section, value in Config().model_dump(exclude={"rules"}).items():
        keys = set(value) if isinstance(value, dict) else set(value[0])
        given = shipped[section] if isinstance(value, dict) else shipped[section][0]
        assert set(given) == keys, section


def test_the_example_rule_of_the_shipped_file_names_every_condition_and_action_and_is_correct(tmp_path):
    text = SHIPPED.read_text()
    plain, example = text.split("# [[rules]]")
    rule = tomllib.loads("[[rules]]" + example.replace("\n# ", "\n"))["rules"][0]
    assert set(rule["when"]) == set(When.model_fields)
    assert set(rule) | {"modality", "stacks"} == set(Rule.model_fields)
    rules = config.load(write(tmp_path, plain + "[[rules]]" + example.replace("\n# ", "\n"))).rules
    assert [r.name for r in rules] == ["chest CT", "chest X-ray", "emergency chest CT"]


def test_the_page_about_rules_names_every_condition_and_action():
    page = (SHIPPED.parent / "docs" / "rules.md").read_text()
    for name in (*When.model_fields, *Rule.model_fields):
        assert f"`{name}`" in page, name


def test_it_listens_on_this_machine_only_by_default():
    assert Config().dicom.host == "127.0.0.1"


def test_every_error_is_reported_at_once_with_its_place(tmp_path):
    path = write(
        tmp_path,
        '[dicom]\nport = 99999\nae_title = "MUCH TOO LONG AE TITLE"\nhots = "x"\n'
        '[[rules]]\nname = "a"\nmodality = "MR"\npipelines = []\n',
    )
    with pytest.raises(ConfigError) as error:
        config.load(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    for place in (
        "dicom.port = 99999",
        "dicom.ae_title",
        "dicom.hots",
        "rules[0].modality[0] = 'MR'",
        "rules[0].pipelines",
    ):
        assert any(place in line for line in lines), place
    assert all(str(path) in line for line in lines)


RULE = '[[rules]]\nname = "a"\npipelines = ["lung-densitometry"]\n'


def test_unknown_pipelines_and_destinations_are_named_with_those_there_are(tmp_path):
    path = write(
        tmp_path,
        '[[rules]]\nname = "a"\nmodality = "CT"\npipelines = ["nope"]\ndestinations = ["nowhere"]\n',
    )
    with pytest.raises(ConfigError, match=r"(?s)'nope'; there are: lung-densitometry.*'nowhere'; there are: pacs"):
        config.load(path)


def test_all_errors_of_rules_are_reported_at_once_with_place_and_remedy(tmp_path):
    path = write(
        tmp_path,
        "[dicom]\nport = -1\n"
        '[[rules]]\nname = "a"\npipelines = ["nope"]\ndestinations = ["nowhere"]\npriority = "urgent"\n'
        '[rules.when]\nseries_description = "(chest"\nslice_count = { min = 9, max = 3 }\nkernel = "B30"\n'
        'slice_thickness_mm = {}\nstudy_description = "(a+)+$"\ncalling_ae_title = "FAR_TOO_LONG_AN_AE_TITLE"\n'
        '[[rules]]\nname = "a"\npipelines = ["lung-densitometry"]\nnotices = true\n'
        'modality = "CT"\nwhen = { modality = "CT" }\n',
    )
    with pytest.raises(ConfigError) as error:
        config.load(path)
    said = "\n".join(line.removeprefix(f"{path}: ") for line in str(error.value).splitlines())
    for needed in (
        "dicom.port = -1: must be 0 or more",
        "rules[0].priority = 'urgent': one of routine, high, stat, or a number from 0 to 100",
        "rules[0].when.series_description = '(chest': is no regular expression: missing )",
        "rules[0].when.slice_count: nothing lies between min = 9 and max = 3; exchange them",
        "rules[0].when.kernel = 'B30': there is no such condition; there are: modality, calling_ae_title",
        "rules[0].when.slice_thickness_mm: give min, max or both",
        "rules[0].when.study_description = '(a+)+$': repeats what itself repeats",
        "rules[0].when.calling_ae_title[0] = 'FAR_TOO_LONG_AN_AE_TITLE': an AE title has 1 to 16",
        "rules[0].pipelines: rule 'a' names the pipeline 'nope'; there are: lung-densitometry",
        "rules[0].destinations: rule 'a' names the destination 'nowhere'; there are: pacs, source",
        "rules: 2 [[rules]] are named 'a'; give each its own name",
        "rules[1].notices: rule 'a' has no destinations that its notices could go to; name one",
        "rules[1].when.modality: rule 'a' asks for a modality twice; leave one out",
    ):
        assert needed in said, said
    assert len(said.splitlines()) == 13


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            'modality = "CT"\npipelines = ["lung-densitometry", "lung-fields"]',
            'is for CT, which \'lung-fields\' does not read; give it a rule with modality = ["CR", "DX"]',
        ),
        (
            'when = { modality = ["CR", "DX"] }\npipelines = ["lung-densitometry"]',
            "is for CR and DX, which 'lung-densitometry' does not read; give it a rule with modality = [\"CT\"]",
        ),
    ],
)
def test_a_pipeline_that_reads_none_of_a_rules_modalities_is_an_error_with_its_remedy(tmp_path, rule, said):
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, f'[[rules]]\nname = "a"\n{rule}\n'))
    assert f"rules[0].pipelines: rule 'a' {said}" in str(error.value)


@pytest.mark.parametrize(
    "rule",
    [
        'modality = "DX"\npipelines = ["lung-fields"]',
        'modality = ["CT", "DX"]\npipelines = ["lung-densitometry", "lung-fields"]',
        'pipelines = ["lung-densitometry", "lung-fields"]',
    ],
)
def test_a_pipeline_may_stand_in_any_rule_whose_images_it_could_read(tmp_path, rule):
    assert config.load(write(tmp_path, f'[[rules]]\nname = "a"\n{rule}\n'))


@pytest.mark.parametrize(("given", "number"), [('"STAT"', 100), ('"high"', 50), ('"routine"', 0), ("7", 7)])
def test_a_priority_is_a_name_or_a_number(tmp_path, given, number):
    assert config.load(write(tmp_path, f"{RULE}priority = {given}\n")).rules[0].priority == number


@pytest.mark.parametrize("given", ["101", "-1", '"soon"', "[]"])
def test_a_priority_beyond_the_scale_is_refused(tmp_path, given):
    with pytest.raises(ConfigError, match=r"rules\[0\]\.priority"):
        config.load(write(tmp_path, f"{RULE}priority = {given}\n"))


def test_no_destination_can_be_called_source(tmp_path):
    with pytest.raises(ConfigError, match="means whoever sent the images"):
        config.load(
            write(tmp_path, '[[destinations]]\nname = "source"\nhost = "h"\nport = 1\nae_title = "A"\nrules = []\n')
        )


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(a?a){20}", "(?:x*)*", "a*a*a*a*a*x", "((", "a{99999999999}", ""]
)
def test_a_pattern_that_is_wrong_or_may_search_for_ever_is_refused(tmp_path, pattern):
    with pytest.raises(ConfigError, match=r"rules\[0\]\.when\.series_description"):
        config.load(write(tmp_path, f"{RULE}when = {{ series_description = '{pattern}' }}\n"))


@pytest.mark.parametrize(
    "pattern",
    ["chest|thorax", "^ct.*(chest|lung)", "^(?!.*(scout|mpr))", r"[0-9]+ ?mm", "(ab{2})+", "a.*|b.*|c.*|d.*|e.*"],
)
def test_patterns_that_people_write_are_accepted_and_ignore_case(tmp_path, pattern):
    when = config.load(write(tmp_path, f"{RULE}when = {{ series_description = '{pattern}' }}\n")).rules[0].when
    assert when.series_description.pattern == pattern
    assert bool(when.series_description.search("CT CHEST 5 MM")) == bool(
        when.series_description.search("ct chest 5 mm")
    )


def test_a_file_that_is_not_toml_or_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load(write(tmp_path, "[dicom\n"))
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "absent.toml")


def test_a_file_that_was_chosen_because_it_was_there_is_missed_when_it_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.chosen(None) is None
    path = write(tmp_path, "")
    chosen = config.chosen(None)
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        config.load(chosen)


def test_bytes_and_values_that_no_parser_takes_are_explained(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_bytes(b'[dicom]\nae_title = "\xe4"\n')
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load(path)
    monkeypatch.setenv("OPACITY_NODE_RULES", "not JSON")
    with pytest.raises(ConfigError, match=r"environment: .*rules"):
        config.load(write(tmp_path, ""))


def test_the_environment_overrides_the_file(tmp_path, monkeypatch):
    path = write(tmp_path, "[dicom]\nport = 104\n")
    monkeypatch.setenv("OPACITY_NODE_DICOM__PORT", "11113")
    assert config.load(path).dicom.port == 11113


def test_relative_paths_count_from_the_file(tmp_path):
    assert config.load(write(tmp_path, "")).storage.path == tmp_path.resolve() / "storage"


@pytest.mark.parametrize("title", ["", " ", "A" * 17, "A\\B", "Ä"])
def test_ae_titles_follow_the_standard(tmp_path, title):
    with pytest.raises(ConfigError, match="ae_title"):
        config.load(write(tmp_path, f"[dicom]\nae_title = '{title}'\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[dicom]\nport = "x"\n', "dicom.port = 'x': give a whole number"),
        ("[settle]\nquiet_ct_s = 0\n", "settle.quiet_ct_s = 0: must be more than 0"),
        (
            '[[destinations]]\nname = "archive"\nhost = "h"\nport = 1\n',
            "is not given; add it (in destination 'archive')",
        ),
        (f"{RULE}notices = 'perhaps'\n", "rules[0].notices = 'perhaps': give true or false (in rule 'a')"),
        (f"{RULE}priorty = 1\n", "there is no such setting; did you mean `priority`? (in rule 'a')"),
        (f"{RULE}colour = 1\n", "check its spelling and section (in rule 'a')"),
        (f"{RULE}when = {{ patient_age = {{ min = 1 }} }}\n", "there is no such condition; did you mean `patient_"),
        (f"{RULE}when = {{ mood = 1 }}\n", "there is no such condition; there are: modality,"),
        (
            f"{RULE}when = {{ slice_count = {{ minn = 1 }} }}\n",
            "slice_count.minn = 1: there is no such setting; did you",
        ),
        ("[dicom]\naetitle = 'A'\n", "dicom.aetitle = 'A': there is no such setting; did you mean `ae_title`?"),
        ("[dicmo]\nport = 1\n", "dicmo: there is no such setting; did you mean `dicom`?"),
        (f"{RULE}when = 5\n", "give a table, such as { name = value } (in rule 'a')"),
    ],
)
def test_an_error_says_what_to_give_and_names_the_rule_or_destination(tmp_path, text, said):
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, text))
    assert said in str(error.value)


def test_a_modality_that_there_is_not_is_one_error(tmp_path):
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, f'{RULE}modality = "XR"\n'))
    (line,) = str(error.value).splitlines()
    assert "rules[0].modality[0] = 'XR': must be 'CT', 'CR' or 'DX'" in line


@pytest.mark.parametrize("given", ['modality = "ct"', 'modality = ["Ct"]', 'when = { modality = "ct" }'])
def test_upper_and_lower_case_are_alike_in_a_modality(tmp_path, given):
    (rule,) = config.load(write(tmp_path, f"{RULE}{given}\ndestinations = ['pacs']\n")).rules
    assert rule.conditions.modality == ("CT",)


def test_a_modality_in_lower_case_that_a_pipeline_does_not_read_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="is for DX, which 'lung-densitometry' does not read"):
        config.load(write(tmp_path, f'{RULE}modality = "dx"\nnotices = "perhaps"\n'))


TLS = '[dicom.tls]\ncertificate = "a.pem"\nkey = "a.key"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dicom]\nport = 0\n", "port and tls_port are both off (0): nobody could reach the node"),
        ("[dicom]\nport = 2762\ntls_port = 2762\n" + TLS, "port and tls_port are both 2762; give each its own"),
        ("[dicom]\ntls_port = 2762\n", "tls_port needs certificate and key in [dicom.tls]"),
        ("[dicom]\ntls_port = 2762\n" + TLS, "[dicom.tls] needs ca, by which the certificates of peers are checked"),
        ('[dicom.certificates]\nct1 = ["CT1"]\n', "[dicom.certificates] needs a tls_port and require_client_cert"),
        ("[dicom]\nrequire_user_identity = true\n", "require_user_identity needs [dicom.users]"),
        ('[dicom.users]\nanna = "secret"\n', "dicom.users.anna: it is no hash of a passcode; `opacity-node hash-pass"),
        ('[dicom]\ncalling_networks = ["10.1.0.1/16"]\n', "give a network such as 10.1.0.0/16, or an address"),
        ('[dicom]\ncalling_ae_titles = ["CT1@10.1.0.0/33"]\n', "give a network such as 10.1.0.0/16, or an address"),
        ('[dicom]\ncalling_ae_titles = ["FAR_TOO_LONG_AN_AE@10.1.0.0/16"]\n', "an AE title has 1 to 16"),
        (
            '[[destinations]]\nname = "pacs"\nhost = "h"\nport = 1\nae_title = "A"\ntls = true\n',
            "destination 'pacs' has tls = true, but [dicom.tls] has no ca",
        ),
    ],
)
def test_access_that_cannot_be_is_told_with_its_remedy(tmp_path, text, said):
    with pytest.raises(ConfigError) as error:
        config.load(write(tmp_path, text))
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_a_port_for_tls_alone_is_enough_and_its_files_count_from_the_file(tmp_path):
    tls = TLS + "require_client_certificate = false\n"
    loaded = config.load(write(tmp_path, "[dicom]\nport = 0\ntls_port = 2762\n" + tls)).dicom
    assert (loaded.port, loaded.tls_port) == (0, 2762)
    assert loaded.tls.certificate == tmp_path / "a.pem"
