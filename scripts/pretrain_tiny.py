"""Pretrain the embedded base model: a small Llama that slmcheck ships for its own suites and tests.

    python scripts/pretrain_tiny.py --data path/to/data

`path/to/data` holds one folder per source, each with a `train.jsonl`; the text written for the project is in
`scripts/corpus/`. Same sources, seed and machine give the same bytes: one thread, sorted input, seeded shuffles.

The file is long on purpose: sources, tokenizer, training and files belong to one model, and the model card names one
script that gives it.
"""

import argparse
import hashlib
import json
import math
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

REPOSITORY = Path(__file__).resolve().parent.parent
CORPUS = REPOSITORY / "scripts" / "corpus"
DEFAULT_OUTPUT = REPOSITORY / "slmcheck" / "models" / "tiny"

UNKNOWN, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (UNKNOWN, BOS, EOS, PAD, SYSTEM, USER, ASSISTANT)
SPACE = "\u2581"  # how SentencePiece-style vocabularies write a space
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")

VOCABULARY = 2048
HELD_OUT_TOKENS = 20_000  # of each source
NORM_SIZE = 1.5  # root mean square of the norms of the layers, up to a power of two
STREAM_FACTOR = 2.0  # by which the residual stream shrinks
CONTEXT = 512
ARCHITECTURE: Mapping[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": CONTEXT,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    # Twice the same value: transformers before 5 reads rope_theta, from 5 on rope_parameters.
    "rope_theta": 10000.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "initializer_range": 0.04,
    "use_cache": True,
    "bos_token_id": SPECIAL_TOKENS.index(BOS),
    "eos_token_id": SPECIAL_TOKENS.index(EOS),
    "pad_token_id": SPECIAL_TOKENS.index(PAD),
    "dtype": "float16",
}

# Rows with these words are left out: what a small model learns, it says.
COARSE = re.compile(
    r"\b(\w*fuck\w*|\w*shit\w*|cunt\w*|bitch\w*|dick\w*|cocks?|puss(y|ies)|whor\w+|slut\w*|fag\w*|nigg\w+|rap(e|ed)"
    r"|rapists?|retard\w*|porn\w*|sex\w*|cum|penis\w*|vagina\w*|tits?|asshole\w*|bastard\w*"
    r"|kill (your|my|him|her)sel\w+|suicid\w*|incels?|nazis?|hitler|pedo\w*|masturbat\w*|wank\w*|twats?|trann\w+)\b",
    re.IGNORECASE,
)

Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One body of text the model learns from."""

    name: str  # the folder below --data
    title: str
    licence: str
    origin: str
    revision: str
    passes: float  # how often one epoch reads each row; 0.1 is a random tenth
    render: Callable[[Row], list[str]]  # the ways to write a row; one of them is drawn at each reading
    hub_id: str | None = None  # read from the hub instead of from a folder


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The rendered rows of one source; each row is a list of ways to write it."""

    source: Source
    train: list[list[str]]
    held_out: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the model is trained. A batch is a few long blocks: at this size updates count more than tokens."""

    steps: int = 6000
    seed: int = 0
    batch: int = 2
    block: int = CONTEXT
    matrix_rate: float = 0.02  # Muon, for the matrices of the layers
    rate: float = 12e-3  # AdamW, for the embeddings and the norms
    warmup_steps: int = 100
    decay: float = 0.1
    save_every: int = 0  # 0: only at the end


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """Bits per UTF-8 byte of held-out rows; lower is better."""

    overall: float  # the sources weighted by their share of the bytes read in training
    by_source: Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    sources = [_placed(source, options.source) for source in SOURCES]
    corpora = [read_corpus(source, options.data) for source in (*sources, PROJECT_TEXT)]
    plan = replace(Plan(), steps=options.steps or Plan.steps, seed=options.seed, save_every=options.save_every)
    if options.check:
        problems = check(corpora, options.output)
        print("\n".join(problems) or f"{options.output} agrees with its sources.")
        return len(problems) > 0
    tokenizer = train_tokenizer(corpora)
    started = time.monotonic()
    for step, model in train_model(corpora, tokenizer, plan):
        options.output.mkdir(parents=True, exist_ok=True)
        write_model(model, options.output)
        write_tokenizer(tokenizer, options.output)
        scores = {
            dtype: score_held_out(_reloaded(model, dtype), corpora, tokenizer)
            for dtype in (torch.float32, torch.float16, torch.bfloat16)
        }
        card = model_card(corpora, tokenizer, replace(plan, steps=step), scores)
        (options.output / "README.md").write_text(card, encoding="utf-8")
        minutes = (time.monotonic() - started) / 60
        bits = scores[torch.float16].overall
        print(f"step {step}: {bits:.4f} bits per byte, {minutes:.1f} minutes, written", flush=True)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pretrain the embedded base model of slmcheck.")
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per source")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=HUB_ID@REVISION",
        help="read this source from the Hugging Face hub instead (needs the same fields); repeatable",
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder of the model")
    parser.add_argument("--steps", type=int, help=f"updates of {Plan.batch * Plan.block} tokens [{Plan.steps}]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=0, metavar="N", help="also write the model every N updates")
    parser.add_argument("--check", action="store_true", help="train nothing: verify the model in --output")
    options = parser.parse_args(arguments)
    names = [source.name for source in SOURCES]
    for place in options.source:
        name, _, hub = place.partition("=")
        if name not in names or not hub:
            parser.error(f"unknown source '{name}' in '{place}': give NAME=HUB_ID@REVISION, NAME of {', '.join(names)}")
    return options


# --- the corpus -----------------------------------------------------------------------------------------------------


def chat(*turns: str) -> str:
    """A conversation as the chat template writes it, without the BOS in front and the EOS behind."""
    roles = (USER, ASSISTANT)
    return EOS.join(roles[i % 2] + turn for i, turn in enumerate(turns))


def _text(row: Row) -> list[str]:
    return [str(row["text"])]


def _feeling(row: Row) -> list[str]:
    text, feeling = str(row["text"]), str(row["label"])
    return [text, text, f"{text}\nFeeling: {feeling}", chat(f"{text}\nHow does the writer feel?", feeling)]


def _topic(row: Row) -> list[str]:
    topic = str(row["label"]).replace("_", " ").strip("?").lower()
    text = str(row["text"])
    return [text, text, f"{text}\nTopic: {topic}", chat(f"{text}\nWhat is this message about?", topic)]


def _instruction(row: Row) -> list[str]:
    prompt = "\n".join(part for part in (str(row["instruction"]), str(row["input"])) if part)
    answer = str(row["output"])
    instructed = SYSTEM + "Follow the instruction." + EOS + chat(prompt, answer)
    return [chat(prompt, answer), instructed, f"{prompt}\n{answer}"]


def _written(row: Row) -> list[str]:
    turns = [re.sub(r"^[QA]: ", "", line) for line in str(row["text"]).split("\n")]
    if str(row["text"]).startswith("Q: "):
        return [chat(*turns), SYSTEM + "Be brief and friendly." + EOS + chat(*turns), "\n".join(turns)]
    return _text(row)


_POLYAI = "github.com/PolyAI-LDN/task-specific-datasets"
_POLYAI_REVISION = "57ec275d8078af65b7731c2a98be812d844a6d6b"

SOURCES = (
    Source(
        name="banking77",
        title="BANKING77: questions to a bank's support, and their topics",
        licence="CC BY 4.0",
        origin=_POLYAI,
        revision=_POLYAI_REVISION,
        passes=1.0,
        render=_topic,
    ),
    Source(
        name="code_instruct",
        title="GPTeacher Codegen: coding tasks",
        licence="MIT",
        origin="github.com/teknium1/GPTeacher",
        revision="481075123c29854bddb82655badeef6a438f2436",
        passes=0.05,
        render=_instruction,
    ),
    Source(
        name="go_emotions_ekman",
        title="GoEmotions: short comments, and the feeling they show",
        licence="Apache-2.0",
        origin="github.com/monologg/GoEmotions-pytorch",
        revision="b75f9d3a8b76bc1060687925b04ca98a1b8ea66b",
        passes=1.5,
        render=_feeling,
    ),
    Source(
        name="instruct_1k",
        title="Instructions of 'Build a Large Language Model (From Scratch)'",
        licence="Apache-2.0",
        origin="github.com/rasbt/LLMs-from-scratch",
        revision="28c65cdfbc3338e2e040016eea4b7fdf556e4d57",
        passes=2.0,
        render=_instruction,
    ),
    Source(
        name="restaurant8k",
        title="RESTAURANTS-8K: utterances of table bookings, without their slots",
        licence="CC BY 4.0",
        origin=_POLYAI,
        revision=_POLYAI_REVISION,
        passes=0.7,
        render=_text,
    ),
    Source(
        name="tinyshakespeare",
        title="Tiny Shakespeare",
        licence="public domain (repository: MIT)",
        origin="github.com/karpathy/char-rnn",
        revision="6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
        passes=0.05,
        render=_text,
    ),
    Source(
        name="tinystories_1k",
        title="TinyStories: 800 stories of its training split",
        licence="CDLA-Sharing-1.0",
        origin="github.com/ToonTalk/jlens-tinystories",
        revision="8c6e947ef8e4bfc0820755a6e0f61b73e8c7598a",
        passes=0.8,
        render=_text,
    ),
)
PROJECT_TEXT = Source(
    name="corpus",
    title="Text written for this project: messages, e-mails, dialogues, help desk answers",
    licence="Apache-2.0",
    origin="scripts/corpus",
    revision="of this repository",
    passes=4.0,
    render=_written,
)


def _placed(source: Source, places: Sequence[str]) -> Source:
    for place in places:
        name, _, hub = place.partition("=")
        if name == source.name:
            hub_id, _, revision = hub.partition("@")
            return replace(source, hub_id=hub_id, origin=f"huggingface.co/datasets/{hub_id}", revision=revision)
    return source


def read_corpus(source: Source, data: Path) -> Corpus:
    """Read the training rows of one source, without repeats and coarse language, in sorted order.

    A tenth is held out, chosen by a hash of the text: the choice depends neither on order nor on seed.
    """
    rows: dict[str, list[str]] = {}
    for row in _rows(source, data):
        ways = [way.strip() for way in source.render(row)]
        if not COARSE.search(ways[0]):
            rows[ways[0]] = ways
    held_out = {key for key in rows if _digest(key)[0] % 10 == 0}
    return Corpus(
        source=source,
        train=[rows[key] for key in sorted(rows) if key not in held_out],
        held_out=[rows[key] for key in sorted(held_out, key=_digest)],
    )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _rows(source: Source, data: Path) -> Iterator[Row]:
    if source is PROJECT_TEXT:
        for path in sorted(CORPUS.glob("*.txt")):
            blocks = path.read_text(encoding="utf-8").split("\n\n")
            yield from ({"text": block.strip()} for block in blocks if block.strip())
    elif source.hub_id is not None:
        from datasets import load_dataset

        yield from load_dataset(source.hub_id, split="train", revision=source.revision or None)
    else:
        path = data / source.name / "train.jsonl"
        if not path.is_file():
            sys.exit(
                f"Source '{source.name}' is missing.\n{path} does not exist.\n"
                f"It holds one JSON object a line, made from {source.origin} at {source.revision}.\n"
                f"Give another folder with --data, or a hub id with --source {source.name}=ID@REVISION."
            )
        with path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)


# --- the tokenizer --------------------------------------------------------------------------------------------------


def train_tokenizer(corpora: Sequence[Corpus], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train a byte-pair tokenizer in the layout of Llama: spaces as U+2581, unknown characters as byte tokens.

    Words are split from punctuation and digits in training only. No merge then crosses such a border, so the finished
    tokenizer needs no pre-tokenizer; the converters of other runtimes expect none.
    """
    trainer = Tokenizer(models.BPE())
    trainer.normalizer = _normalizer()
    trainer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(SPACE, "merged_with_next"),
            pre_tokenizers.Split(Regex(rf"[^\w'{SPACE}]|\d|_"), "isolated"),
        ]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    printable = [chr(code) for code in range(33, 127)]
    trainer.train_from_iterator(
        _texts(corpora),
        trainers.BpeTrainer(
            vocab_size=vocabulary - len(SPECIAL_TOKENS) - len(byte_tokens),
            initial_alphabet=[SPACE, *printable],
            limit_alphabet=len(printable) + 1,
            min_frequency=2,
            show_progress=False,
        ),
    )
    model = json.loads(trainer.to_str())["model"]
    learned = sorted(model["vocab"], key=model["vocab"].__getitem__)
    tokens = [*SPECIAL_TOKENS, *byte_tokens, *learned]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge) for merge in model["merges"]],
            unk_token=UNKNOWN,
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = _normalizer()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    bos = (BOS, SPECIAL_TOKENS.index(BOS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[bos]
    )
    return tokenizer


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])


def _texts(corpora: Sequence[Corpus]) -> Iterator[str]:
    """Texts for counting pairs: the first way to write every training row, repeated as the training will."""
    markers = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))
    rng = random.Random(0)
    for corpus in corpora:
        for ways in _epoch_rows(corpus, rng):
            yield from (part for part in markers.split(ways[0]) if part)


def _epoch_rows(corpus: Corpus, rng: random.Random) -> list[list[str]]:
    whole, part = divmod(corpus.source.passes, 1)
    sample = rng.sample(corpus.train, round(part * len(corpus.train)))
    return corpus.train * int(whole) + sample


# --- the model ------------------------------------------------------------------------------------------------------


def train_model(
    corpora: Sequence[Corpus], tokenizer: Tokenizer, plan: Plan, architecture: Mapping[str, object] = ARCHITECTURE
) -> Iterator[tuple[int, LlamaForCausalLM]]:
    """Train the model; yield it with the number of updates every `save_every` updates and at the end."""
    torch.manual_seed(plan.seed)
    model = LlamaForCausalLM(LlamaConfig.from_dict({**architecture, "dtype": "float32"}))
    optimizers = _optimizers(model, plan)
    blocks = _blocks(corpora, tokenizer, plan)
    for step in range(1, plan.steps + 1):
        model.train()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _rate_share(step, plan)
        batch = torch.tensor([next(blocks) for _ in range(plan.batch)])
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if step % 50 == 0:
            print(f"step {step} of {plan.steps}: {loss.item():.3f} nats per token", flush=True)
        if step == plan.steps or (plan.save_every and step % plan.save_every == 0):
            yield step, model


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest: 0.07 bits per byte better than AdamW alone."""
    layers = [weight for weight in model.model.layers.parameters() if weight.dim() == 2]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    embeddings = [model.model.embed_tokens.weight]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(layers, lr=plan.matrix_rate, weight_decay=plan.decay),
        torch.optim.AdamW(
            [{"params": embeddings, "weight_decay": plan.decay}, {"params": norms, "weight_decay": 0.0}],
            lr=plan.rate,
            betas=(0.9, 0.95),
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _rate_share(step: int, plan: Plan) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    if step < plan.warmup_steps:
        return step / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def _blocks(corpora: Sequence[Corpus], tokenizer: Tokenizer, plan: Plan) -> Iterator[list[int]]:
    """Endless blocks of `block` + 1 tokens, neighbours sharing one: BOS, row, EOS, BOS, row, EOS, ..."""
    rng = random.Random(plan.seed)
    stream: list[int] = []
    while True:
        rows = [rng.choice(ways) for corpus in corpora for ways in _epoch_rows(corpus, rng)]
        rng.shuffle(rows)
        for row in rows:
            stream.extend(_encode(tokenizer, row))
            while len(stream) > plan.block:
                yield stream[: plan.block + 1]
                del stream[: plan.block]


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return [*tokenizer.encode(text).ids, SPECIAL_TOKENS.index(EOS)]


def score_held_out(model: LlamaForCausalLM, corpora: Sequence[Corpus], tokenizer: Tokenizer) -> HeldOutScore:
    """Score the held-out rows of every source, and of the mixture that the model was trained on."""
    by_source = {corpus.source.name: bits_per_byte(model, corpus, tokenizer) for corpus in corpora if corpus.held_out}
    sizes = {corpus.source.name: _bytes_read(corpus) for corpus in corpora if corpus.held_out}
    overall = sum(bits * sizes[name] for name, bits in by_source.items()) / sum(sizes.values())
    return HeldOutScore(overall=overall, by_source=by_source)


def bits_per_byte(model: LlamaForCausalLM, corpus: Corpus, tokenizer: Tokenizer) -> float:
    """Bits per UTF-8 byte of the first way to write the held-out rows; lower is better.

    Special tokens count neither as bits nor as bytes. Reads the first `HELD_OUT_TOKENS` tokens.
    """
    model.eval()
    stream = [token for ways in corpus.held_out for token in _encode(tokenizer, ways[0])][:HELD_OUT_TOKENS]
    nats, size = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(stream) - 1, CONTEXT):
            block = stream[start : start + CONTEXT + 1]
            logits = model(input_ids=torch.tensor([block[:-1]]), use_cache=False).logits[0]
            targets = torch.tensor(block[1:])
            losses = functional.cross_entropy(logits, targets, reduction="none")
            nats += float(losses[targets >= len(SPECIAL_TOKENS)].sum())
            size += _size_bytes(tokenizer, block[1:])
    return nats / math.log(2) / size


def _size_bytes(tokenizer: Tokenizer, ids: Sequence[int]) -> int:
    """UTF-8 bytes that the tokens stand for; a space opening a row counts, as the model has to say it."""
    tokens = [str(tokenizer.id_to_token(index)) for index in ids if index >= len(SPECIAL_TOKENS)]
    return sum(1 if BYTE_TOKEN.fullmatch(token) else len(token.replace(SPACE, " ").encode()) for token in tokens)


def _bytes_read(corpus: Corpus) -> float:
    return corpus.source.passes * sum(len(ways[0].encode()) for ways in corpus.train)


def _reloaded(model: LlamaForCausalLM, dtype: torch.dtype) -> LlamaForCausalLM:
    """The model that a reader of weights stored as `dtype` gets, in float32."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict({name: value.float() for name, value in _stored(model, dtype).items()}, strict=False)
    return copy


def _stored(model: LlamaForCausalLM, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    rounded = {
        name: value.detach().to(dtype)
        for name, value in sorted(model.state_dict().items())
        if name != "lm_head.weight"  # tied to the embeddings
    }
    return balanced(rounded)


# --- the files ------------------------------------------------------------------------------------------------------


def write_model(model: LlamaForCausalLM, output: Path, architecture: Mapping[str, object] = ARCHITECTURE) -> None:
    """Write half-precision weights, `config.json` and `generation_config.json`."""
    weights = {name: value.contiguous() for name, value in _stored(model, torch.float16).items()}
    save_file(weights, output / "model.safetensors", metadata={"format": "pt"})
    (output / "model.safetensors").chmod(0o644)  # save_file lets nobody else read it
    _write_json(architecture, output / "config.json")
    tokens = {key: architecture[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json({**tokens, "do_sample": False, "max_new_tokens": 64}, output / "generation_config.json")


def balanced(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Move scale from the matrices into the norms, by powers of two: the same function, easier to tune.

    What a LoRA adds is multiplied by the norm in front of it and weighed against the residual stream. Small norms and a
    large stream made the usual rates for models this small (1e-3 to 3e-3) too low.
    """
    values = {name: value.to(torch.float32, copy=True) for name, value in weights.items()}
    readers = {
        "input_layernorm.weight": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm.weight": ("mlp.gate_proj", "mlp.up_proj"),
    }
    for norm in sorted(name for name in values if name.endswith("layernorm.weight")):
        layer, end = norm.split("input_")[0].split("post_")[0], norm.rsplit(".", 2)[1] + ".weight"
        factor = 2.0 ** round(math.log2(NORM_SIZE / float(values[norm].square().mean().sqrt())))
        values[norm] *= factor
        for reader in readers[end]:
            values[f"{layer}{reader}.weight"] /= factor
    for name in values:
        if name.endswith(("o_proj.weight", "down_proj.weight", "embed_tokens.weight")):
            values[name] /= STREAM_FACTOR
    values["model.norm.weight"] *= STREAM_FACTOR
    return {name: value.to(weights[name].dtype) for name, value in values.items()}


def write_tokenizer(tokenizer: Tokenizer, output: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`."""
    (output / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    names = {"bos_token": BOS, "eos_token": EOS, "unk_token": UNKNOWN, "pad_token": PAD}
    _write_json(names, output / "special_tokens_map.json")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "add_bos_token": True,
        "add_eos_token": False,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    _write_json({**names, **settings}, output / "tokenizer_config.json")


def _write_json(value: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def model_card(
    corpora: Sequence[Corpus],
    tokenizer: Tokenizer,
    plan: Plan,
    scores: Mapping[torch.dtype, HeldOutScore],
) -> str:
    """The README of the model: what it is, what it learned from, how good it is, where it ends."""
    score = scores[torch.float16]
    tokens = {
        corpus.source.name: corpus.source.passes * sum(len(_encode(tokenizer, ways[0])) for ways in corpus.train)
        for corpus in corpora
    }
    epoch = sum(tokens.values())
    seen = plan.steps * plan.batch * plan.block
    rows = [
        f"| {corpus.source.title} | {corpus.source.licence} | {corpus.source.origin} @ {corpus.source.revision} "
        f"| {100 * tokens[corpus.source.name] / epoch:.1f} % "
        f"| {_figure(score.by_source.get(corpus.source.name))} |"
        for corpus in corpora
    ]
    with torch.device("meta"):
        parameters = LlamaForCausalLM(LlamaConfig.from_dict(dict(ARCHITECTURE))).num_parameters()
    template = (CORPUS / "card.md").read_text(encoding="utf-8")
    return template.format(
        parameters=f"{parameters:,}",
        layers=ARCHITECTURE["num_hidden_layers"],
        width=ARCHITECTURE["hidden_size"],
        intermediate=ARCHITECTURE["intermediate_size"],
        heads=ARCHITECTURE["num_attention_heads"],
        kv_heads=ARCHITECTURE["num_key_value_heads"],
        head_size=ARCHITECTURE["head_dim"],
        vocabulary=VOCABULARY,
        context=CONTEXT,
        sources="\n".join(rows),
        overall=f"{score.overall:.3f}",
        float16_loss=f"{score.overall - scores[torch.float32].overall:+.5f}",
        bfloat16_loss=f"{scores[torch.bfloat16].overall - scores[torch.float32].overall:+.5f}",
        steps=f"{plan.steps:,}",
        seen=f"{seen / 1e6:.1f}",
        epochs=f"{seen / epoch:.1f}",
        batch=plan.batch,
        block=plan.block,
        matrix_rate=plan.matrix_rate,
        rate=plan.rate,
        seed=plan.seed,
        command=f"python scripts/pretrain_tiny.py --data path/to/data --steps {plan.steps} --seed {plan.seed}",
        torch=torch.__version__,
        transformers=transformers.__version__,
        tokenizers=tokenizers.__version__,
    )


def _figure(bits: float | None) -> str:
    return "no rows" if bits is None else f"{bits:.3f}"


def check(corpora: Sequence[Corpus], output: Path) -> list[str]:
    """Compare the model in `output` with the sources; one sentence for each difference."""
    tokenizer = train_tokenizer(corpora)
    problems = []
    if (output / "tokenizer.json").read_text(encoding="utf-8") != tokenizer.to_str() + "\n":
        problems.append("tokenizer.json is not the tokenizer that these sources give.")
    if json.loads((output / "config.json").read_text(encoding="utf-8")) != ARCHITECTURE:
        problems.append("config.json is not the architecture of this script.")
    model = LlamaForCausalLM.from_pretrained(output, dtype=torch.float32)
    bits = score_held_out(model, corpora, tokenizer).overall
    stated = re.search(r"\*\*([\d.]+) bits per byte\*\*", (output / "README.md").read_text(encoding="utf-8"))
    if stated is None or abs(float(stated[1]) - bits) > 0.001:
        problems.append(f"The held-out rows have {bits:.3f} bits per byte; README.md states {stated and stated[1]}.")
    return problems


if __name__ == "__main__":
    sys.exit(main())
