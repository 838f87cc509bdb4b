"""Folders as transformers saves models of each task, a few kilobytes large, with seeded weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers as library
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tokenizers.normalizers import BertNormalizer

SENTENCES = (
    Path(__file__).resolve().parents[2]
    / "olive_build"
    / "proof"
    / "data"
    / "calibration-sentences.jsonl"
)
SMALL_TEXT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "initializer_range": 0.2}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
STAGES = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [16, 16, 32, 32],
    "num_attention_heads": [1, 2, 2, 4],
    "initializer_range": 0.2,
}


def _texts() -> list[str]:
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def word_pieces() -> Any:
    """Return a tokenizer like BERT's, of 600 pieces."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        _texts(), trainers.WordPieceTrainer(vocab_size=600, special_tokens=tokens)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    named = dict(zip(("pad", "unk", "cls", "sep", "mask"), tokens, strict=True))
    return library.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=256,
        **{f"{name}_token": token for name, token in named.items()},
    )


def byte_pairs() -> Any:
    """Return a tokenizer like CLIP's, of 400 pieces."""
    begin, end = "<|startoftext|>", "<|endoftext|>"
    made = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(vocab_size=400, special_tokens=[begin, end], end_of_word_suffix="</w>"),
    )
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 1)]
    )
    return library.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=end,
        unk_token=end,
        bos_token=begin,
        eos_token=end,
        model_max_length=77,
    )


def _of_texts(kind: str, **more: Any) -> tuple[Any, ...]:
    tokenizer = word_pieces()
    config = library.DistilBertConfig(vocab_size=tokenizer.vocab_size, **SMALL_TEXT, **more)
    return getattr(library, kind)(config), tokenizer


def _detector() -> tuple[Any, ...]:
    backbone = library.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = library.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=12,
        num_labels=4,
        init_std=0.2,
    )
    size = {"shortest_edge": 96, "longest_edge": 160}
    model = library.DetrForObjectDetection(config)
    with torch.no_grad():  # sure of something in every picture
        model.class_labels_classifier.weight *= 20
    return model, library.DetrImageProcessor(size=size)


def _segmenter() -> tuple[Any, ...]:
    config = library.SegformerConfig(
        num_encoder_blocks=4, decoder_hidden_size=32, num_labels=5, **STAGES
    )
    size = {"height": 64, "width": 64}
    return library.SegformerForSemanticSegmentation(config), library.SegformerImageProcessor(
        size=size
    )


def _depth() -> tuple[Any, ...]:
    config = library.DPTConfig(
        **{**SMALL, "num_hidden_layers": 4},
        image_size=64,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=32,
        initializer_range=0.2,
    )
    processor = library.DPTImageProcessor(
        size={"height": 64, "width": 64}, keep_aspect_ratio=True, ensure_multiple_of=8
    )
    return library.DPTForDepthEstimation(config), processor


def _enlarger() -> tuple[Any, ...]:
    config = library.Swin2SRConfig(
        image_size=64,
        embed_dim=24,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=8,
        initializer_range=0.2,
    )
    return library.Swin2SRForImageSuperResolution(config), library.Swin2SRImageProcessor()


def _features() -> tuple[Any, ...]:
    config = library.Dinov2Config(**SMALL, image_size=56, patch_size=14, initializer_range=0.2)
    processor = library.BitImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}
    )
    return library.Dinov2Model(config), processor


def _pairs() -> tuple[Any, ...]:
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = library.CLIPConfig(
        text_config={**SMALL, **tokens, "vocab_size": 400, "max_position_embeddings": 77},
        vision_config={**SMALL, "image_size": 64, "patch_size": 8},
        projection_dim=32,
        initializer_factor=3.0,
    )
    processor = library.CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    )
    return library.CLIPModel(config), byte_pairs(), processor


SOUND = {**SMALL, "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16}
SOUND |= {"num_conv_pos_embedding_groups": 4, "initializer_range": 0.3}


def _speller() -> tuple[Any, ...]:
    letters = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'")
    with TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.json"
        vocabulary.write_text(json.dumps({letter: at for at, letter in enumerate(letters)}))
        tokenizer = library.Wav2Vec2CTCTokenizer(str(vocabulary))
    config = library.Wav2Vec2Config(vocab_size=len(letters), pad_token_id=0, **SOUND)
    extractor = library.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    return library.Wav2Vec2ForCTC(config), tokenizer, extractor


def _listener() -> tuple[Any, ...]:
    config = library.Wav2Vec2Config(num_labels=6, classifier_proj_size=16, **SOUND)
    extractor = library.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    return library.Wav2Vec2ForSequenceClassification(config), extractor


MADE: Mapping[str, Callable[[], tuple[Any, ...]]] = {
    "fill-mask": lambda: _of_texts("DistilBertForMaskedLM"),
    "token-classification": lambda: _of_texts("DistilBertForTokenClassification", num_labels=5),
    "text-classification": lambda: _of_texts("DistilBertForSequenceClassification", num_labels=3),
    "audio-classification": _listener,
    "ctc": _speller,
    "question-answering": lambda: _of_texts("DistilBertForQuestionAnswering"),
    "object-detection": _detector,
    "image-segmentation": _segmenter,
    "depth-estimation": _depth,
    "image-to-image": _enlarger,
    "image-feature-extraction": _features,
    "zero-shot-image-classification": _pairs,
}


def write(task: str, folder: Path) -> None:
    """Save a model of a task with what prepares its samples."""
    torch.manual_seed(0)
    model, *processors = MADE[task]()
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            if name.endswith("running_mean"):
                value.normal_(0, 0.3)
    model.eval().save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
