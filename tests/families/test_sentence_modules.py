"""What of sentence-transformers' folders is read, held against the installed library itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base import modules as base_modules
from sentence_transformers.sentence_transformer import modules as library
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from olive_build.errors import PlanError
from olive_build.families.facts import Asked
from olive_build.families.sentence_embedding import modules, settings
from olive_build.families.sentence_embedding.miniature import write_miniature
from olive_build.families.sentence_embedding.spec import inspect
from tests.families.sentence_folders import HIDDEN, edit, save


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_miniature(folder)
    return folder


@pytest.mark.parametrize("kind", modules.KEYS)
def test_the_keys_of_a_module_are_those_of_the_librarys_class(kind: str) -> None:
    known = getattr(library, kind)
    assert set(modules.KEYS[kind]) == set(known.config_keys)
    assert modules.RENAMED.get(kind, {}) == known.config_key_renames


def test_poolings_and_their_older_names_are_the_librarys() -> None:
    from sentence_transformers.sentence_transformer.modules import pooling

    assert modules.POOLINGS == pooling.Pooling.POOLING_MODES
    assert modules.OLDER_POOLINGS == pooling._LEGACY_POOLING_MODE_KWARGS


def test_every_module_of_the_library_is_built_or_refused_by_name() -> None:
    built = {"Transformer", "Module", "InputModule", *modules.KEYS}
    named = {*library.__all__, *base_modules.__all__}
    assert named - built <= set(modules.NOT_BUILT)


def test_the_keys_of_the_transformer_are_all_known() -> None:
    import inspect as python

    taken = set(python.signature(base_modules.Transformer.__init__.__wrapped__).parameters)
    known = {*settings._known_keys(), "self", "model_name_or_path", "backend"}
    assert taken == known


OFF_DEFAULT = {
    "include_prompt": False,
    "pooling_mode": "max",
    "bias": False,
    "activation_function": "torch.nn.modules.activation.ReLU",
    "module_input_name": "token_embeddings",
    "module_output_name": "token_embeddings",
    "use_residual": True,
    "transformer_task": "fill-mask",
    "modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}},
    "module_output_name of Transformer": "sentence_embedding",
    "tokenizer_name_or_path": "elsewhere",
    "model_kwargs": {"output_hidden_states": True},
    "processor_kwargs": {"padding_side": "left"},
    "config_kwargs": {"num_hidden_layers": 1},
    "processing_kwargs": {"text": {"max_length": 5}},
    "max_seq_length": 5,
    "do_lower_case": True,
}
# They change no number of encode: which kernel runs, and what encode_query does.
OF_NO_EFFECT = ("unpad_inputs", *settings.OF_QUERIES)


def plan_of(folder: Path) -> Any:
    try:
        return inspect(folder)
    except PlanError as error:
        return f"{error.what} {error.why}"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        *(
            (kind, key)
            for kind, keys in modules.KEYS.items()
            for key, default in keys.items()
            if default is not ... and kind != "Dropout"
        ),
        *(("Transformer", key) for key in settings._known_keys() if key not in OF_NO_EFFECT),
    ],
)
def test_a_switch_off_its_default_changes_the_plan_or_is_refused_by_name(
    kind: str, key: str, base: Path, tmp_path: Path
) -> None:
    after = [library.Pooling(HIDDEN), library.Dense(HIDDEN, HIDDEN), library.Normalize()]
    folder = save(base, tmp_path / "model", after)
    places = {"Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    before = plan_of(folder)
    if kind in places:
        path = folder / places[kind] / "config.json"
    else:
        path = folder / "sentence_bert_config.json"
    edit(path, **{key: OFF_DEFAULT.get(f"{key} of {kind}", OFF_DEFAULT.get(key))})
    found = plan_of(folder)
    assert found != before
    assert not isinstance(found, str) or key in found


def of_router(base: Path) -> list[torch.nn.Module]:
    first = library.Transformer(str(base))
    return [library.Router.for_query_document([first], [first]), library.Pooling(HIDDEN)]


def write_others(kind: str, base: Path, out: Path) -> None:
    """Save a model of another kind, by the library's own save."""
    if kind == "CrossEncoder":
        BertForSequenceClassification(
            BertConfig.from_pretrained(base, num_labels=1)
        ).save_pretrained(out)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (out / name).write_bytes((base / name).read_bytes())
        CrossEncoder(str(out), device="cpu").save_pretrained(str(out))
    elif kind == "SparseEncoder":
        masked = out / "masked"
        BertForMaskedLM(BertConfig.from_pretrained(base)).save_pretrained(masked)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (masked / name).write_bytes((base / name).read_bytes())
        parts = [MLMTransformer(str(masked)), SpladePooling()]
        SparseEncoder(modules=parts, device="cpu").save(str(out), create_model_card=False)
    elif kind == "Router":
        model = SentenceTransformer(modules=of_router(base), device="cpu")
        model.save(str(out), create_model_card=False)
    elif kind == "StaticEmbedding":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        parts = [library.StaticEmbedding(tokenizer, embedding_dim=8)]
        SentenceTransformer(modules=parts, device="cpu").save(str(out), create_model_card=False)
    else:
        parts = [library.BoW(["a", "b"])]
        SentenceTransformer(modules=parts, device="cpu").save(str(out), create_model_card=False)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("CrossEncoder", "score for a pair"),
        ("SparseEncoder", "weight a word of the vocabulary"),
        ("Router", "other modules for queries"),
        ("StaticEmbedding", "no transformer"),
        ("BoW", "no transformer"),
    ],
)
def test_a_model_of_another_kind_is_refused_for_what_it_is(
    kind: str, says: str, base: Path, tmp_path: Path
) -> None:
    write_others(kind, base, tmp_path)
    with pytest.raises(PlanError) as caught:
        inspect(tmp_path)
    assert kind in caught.value.what
    assert says in str(caught.value.why)


def change_modules(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "modules.json"
        found = json.loads(path.read_text())
        found[1] |= changes
        path.write_text(json.dumps(found))

    return change


@pytest.mark.parametrize(
    ("change", "what", "why"),
    [
        (change_modules(type="custom.Pooling"), "custom.Pooling", "code of the model's own"),
        (change_modules(path="../../elsewhere"), "elsewhere", "leaves the model"),
        (change_modules(path="/etc"), "/etc", "leaves the model"),
        (lambda f: (f / "modules.json").write_text("["), "modules.json", "Expecting"),
        (lambda f: (f / "modules.json").write_text("[" * 100_000), "modules.json", "100 levels"),
        (lambda f: (f / "modules.json").write_text("[]"), "nothing", "a transformer must be"),
        (lambda f: (f / "modules.json").write_text("[1]"), "modules.json", "subscriptable"),
        (
            lambda f: edit(f / "1_Pooling" / "config.json", pooling_mode="median"),
            "pooling by median",
            "the library has cls",
        ),
        (
            lambda f: edit(f / "1_Pooling" / "config.json", sharpness=3),
            "Pooling has settings",
            "sharpness",
        ),
        (
            lambda f: edit(f / "config_sentence_transformers.json", default_prompt_name="q"),
            "default_prompt_name",
            "refuses it too",
        ),
        (
            lambda f: edit(f / "sentence_bert_config.json", max_seq_length="long"),
            "longest text is no number",
            "long",
        ),
    ],
)
def test_a_damaged_folder_is_a_clear_error(
    change: Callable[[Path], Any], what: str, why: str, base: Path, tmp_path: Path
) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN)])
    change(folder)
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert what in caught.value.what
    assert why in str(caught.value.why)
    assert caught.value.where


def dense_weights(**tensors: torch.Tensor) -> Callable[[Path], None]:
    return lambda folder: save_file(tensors, folder / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (dense_weights(**{"linear.weight": torch.ones(8, HIDDEN)}), "linear.bias [8]"),
        (
            dense_weights(**{"linear.weight": torch.ones(4, 4), "linear.bias": torch.ones(8)}),
            "linear.weight [4, 4]; the configuration makes linear.bias [8], linear.weight [8, 64]",
        ),
        (lambda f: (f / "2_Dense" / "model.safetensors").unlink(), "no model.safetensors"),
    ],
)
def test_a_module_whose_weights_do_not_fit_is_refused_by_the_plan(
    change: Callable[[Path], Any], why: str, base: Path, tmp_path: Path
) -> None:
    after = [library.Pooling(HIDDEN), library.Dense(HIDDEN, 8)]
    folder = save(base, tmp_path / "model", after)
    change(folder)
    with pytest.raises(PlanError, match=r"of a Dense|a Dense has") as caught:
        inspect(folder)
    assert why in str(caught.value.why).replace("there is ", "")


def test_a_text_longer_than_the_positions_is_refused(base: Path, tmp_path: Path) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN)])
    edit(folder / "sentence_bert_config.json", max_seq_length=4000)
    with pytest.raises(PlanError, match="cut at 4000 tokens, and the model has 256 positions"):
        inspect(folder)


@pytest.mark.parametrize("key", ["truncation_side", "padding_side"])
def test_a_tokenizer_that_goes_from_the_left_has_no_graph(
    key: str, base: Path, tmp_path: Path
) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN)])
    edit(folder / "tokenizer_config.json", **{key: "left"})
    facts = inspect(folder)
    with pytest.raises(PlanError) as caught:
        facts.check(folder, Asked("target desktop", "files", "single-file", {}, "python"))
    assert f"{key} is left" in str(caught.value.why)
    if key == "truncation_side":
        assert 'direction="left"' in facts.placeholders({"input_ids": ()}, {})["truncation"]
        web = Asked("target web", "transformers.js", "none", {}, "transformers_js")
        with pytest.raises(PlanError, match=r"transformers\.js cuts"):
            facts.check(folder, web)


def test_weights_in_half_precision_are_told(base: Path, tmp_path: Path) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN)])
    edit(folder / "config.json", dtype="bfloat16")
    assert any("weights are bfloat16" in note for note in inspect(folder).notes)


@pytest.mark.parametrize("content", ["{}", '{"model": 3}'])
def test_a_file_without_a_tokenizer_is_no_reason_to_ship_it(
    content: str, base: Path, tmp_path: Path
) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN)])
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(PlanError) as caught:
        inspect(folder)
    assert "holds no tokenizer" in str(caught.value.why)


def test_what_no_class_takes_is_told(base: Path, tmp_path: Path) -> None:
    folder = save(base, tmp_path / "model", [library.Pooling(HIDDEN), library.Normalize()])
    edit(folder / "2_Normalize" / "config.json", power=3)
    edit(folder / "sentence_bert_config.json", colour="red")
    notes = " ".join(inspect(folder).notes)
    assert "power" in notes
    assert "colour" in notes
