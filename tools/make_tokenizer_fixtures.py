#!/usr/bin/env python3
"""Writes tests/fixtures/tokenizers/families/: tokenizer.json files shaped like those of known models, and what the
Python package `tokenizers` makes of a few hundred texts with them.

    python3 -m pip install tokenizers==0.23.1
    python3 tools/make_tokenizer_fixtures.py

Each family has the normalizer, pre-tokenizer, decoder, model settings and added tokens as they were published; its
vocabulary is small and trained here, on texts of this script and of the project's docs. Written are

    texts.json.gz           [text, ...]
    NAME.json.gz            {"tokenizer": {...}, "cases": [{"ids": [...]} or {"ids": ..., "decoded": text}, ...]}, a case
                            for each text; "decoded" is left out where it equals the text
    components.json.gz      [{"name": ..., "tokenizer": {...}, "cases": as above for every STEP-th text}, ...]
    trained-bpe.json.gz     {"texts": prose, code and edges, "trained": [{"vocab_size": ..., "min_frequency": ..., "special_tokens":
                            ..., "tokenizer": what the package learns from the texts}, ...]}; alone: --trained-bpe

The same texts and files come out each time.
"""

import gzip
import json
import pathlib
import random
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "fixtures" / "tokenizers" / "families"
COMPONENT_STEP = 4
VOCABULARY = 700

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.", "It's what they've said, isn't it? I'LL go; WE'RE not.",
    "Ça coûte déjà vingt-deux œufs à Noël.", "Straße, Übermut, Äpfel und schöne Grüße aus Köln.",
    "El niño comió piñas en el jardín mañana.", "Zażółć gęślą jaźń; příliš žluťoučký kůň.",
    "Быстрая коричневая лиса прыгает через ленивую собаку.", "Η γρήγορη αλεπού πηδάει πάνω από τον σκύλο.",
    "快速的棕色狐狸跳过了懒狗。今天天气很好！", "素早い茶色の狐はのろまな犬を飛び越える。ガギグゲゴ パピプペポ",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.", "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। क्षत्रिय १२३४",
    "দ্রুত বাদামী শিয়াল অলস কুকুরের উপর লাফ দেয়।", "வேகமான பழுப்பு நரி சோம்பேறி நாய் மீது குதிக்கிறது.",
    "ไทยมีภาษาที่ไม่มีช่องว่างระหว่างคำ", "הַשּׁוּעָל הַחוּם הַמָּהִיר קוֹפֵץ", "القِطَّةُ السَّوْدَاءُ ٠١٢٣٤٥",
    "👩‍👩‍👧‍👦 and 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 ☃️ 😀😃", "def f(x):\n    return x**2 + 10_000 if x != 3.14e-5 else None\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];  // dot\r\n}\r\n", "SELECT * FROM t WHERE id >= 42 AND name LIKE '%x%';",
    "<html><body class=\"a b\">&nbsp;text</body></html>", "1234567890 12 345 6,789.01 ½ ² Ⅷ ٣ ४ 一二三 ①",
    "ﬁne ﬂow ﬀ Ω Å ｆｕｌｌ　ｗｉｄｔｈ ㎏ ℌ ™ …", "https://example.org/a_b/c-d?e=f&g=h#i user@host.net",
    "CamelCaseWord ALLCAPS mixedCASE İstanbul ǅ ſoft 'S 'ſ 'T", "a\u0301e\u0301i\u0301 n\u0303 \u1e9b\u0323 q\u0307\u0323 \u0344 \uac01\u11a8",
]

EDGES = [
    "a", " ", "  ", "   a", "a   ", " a b ", "\n", "\r\n", "\n\n\n", " \n \n ", "\t\tx", "a\tb\t\tc", "\0", "a\0b", "\x7f\x01",
    "\u00a0a\u00a0\u00a0b", "\u3000全角\u3000", "\u2028\u2029", "\u200b\u200d\ufeffx", "\u1680 \u180e ", "x\u0085y", "'", "''s", "'s", "'S 're'LL 'vE'D",
    "a's b'T c'ſ", "don’t", "1", "12", "123", "1234", "12345678901234567890", "a1b22c333d4444", "1,234.5", "x=1;y=22;z=333", "２３４５", "५६७८९", "¹²³",
    "...", "?!?!", "a.b.c", "--flag=value", "_under__score_", "e\u0301", "\u00e9", "o\u0308o\u0323\u0302", "\u1ed9", "\u212b\u00c5A\u030a", "\u0958\u0915\u093c", "\u09cb\u09c7\u09be",
    "\uac00\u1100\u1161\u11a8", "=\u0338<\u0338>\u0338", "a\u0338", "\u0301start", " \u0301", "🇺🇸🇯🇵", "👨‍💻x👩🏾‍🚀", "❤️‍🔥", "\U0001F9D1\u200D\U0001F91D\u200D\U0001F9D1",
    "𝕏𝖄𝟙𝟚", "𐐀𐐨", "\U0001E030\U0001E06D", "\U00010D4A\U00010D70", "\U000323AF", "\U0010FFFF\U000E0001", "\ufffd\ufffe", "▁", "▁▁a▁b", "a▁b c", " ▁ ", "Ġ", "ĠaĊ",
    "<0x0A>", "<0xE2><0x96>", "<unk>", "<s>", "</s>", "<s>a</s>", "a<s> b</s> c", "<s><s>", " <s> ", "<pad> x", "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|> b",
    "a <|endoftext|>", "<|endoftext", "<|im_start|>user\nhi<|im_end|>\n", "<|begin_of_text|>Hi<|eot_id|>", "<｜begin▁of▁sentence｜>x<｜User｜>y", "[INST] q [/INST]", "[BOS]a[EOS]",
    "<mask>", "a <mask> b", "a  <mask>  b", "x<mask>y", "<mask><mask>", " \n<mask>\t ", "word wordy aword word", "word", "(word)", "wordword", "word_word", "éword wordé", "  word  ", "RIGHT  x", "x  RIGHT\n\ny RIGHT",
    "Shout shout SHOUT", "  <start_of_turn>user\n", "<start_of_turn>\n\n\n\n<end_of_turn>", "    four\n        eight\n", "\n\n  \n", "<think>ok</think>", "<tool_call>{}</tool_call>",
    "ÀÉÎõü ŁØ ß ẞ ǆ ﬃ", "ΣΑΣ ς σ", "İIıi", "Ǆǅǆ", "ʼn ŉ", "ⅳⅣ", "ªº", "ñ Ñ n\u0303 N\u0303", "x" * 60, "ab" * 40, "é" * 50, "中" * 40, " " * 70, "\n" * 40, "." * 50, "1" * 50, "=-" * 30, " a" * 30, "▁" * 20,
    "e\u0323\u0301\u0302\u0327" * 6, "Hello\u00ad\u2010world", "a\u2009b\u202fc\u205fd", "«guillemets» „quotes“ ‘x’", "€£¥₹₿ ±×÷≠≤∞∑", "→←↑↓ ■□▲ ♠♥", "𒀀𒁀 𓀀𓁐 ꙮ", "ᏣᎳᎩ ሰላም ខ្មែរ မြန်မာ", "ⴰⵣⵓⵍ ߒߞߏ ᠮᠣᠩᠭᠣᠯ",
]


def make_texts():
    """The texts that are compared: every edge and sentence, both normal forms, and random mixtures."""
    rng = random.Random(20)
    texts = EDGES + SENTENCES + [unicodedata.normalize("NFD", s) for s in SENTENCES] + [unicodedata.normalize("NFC", s) for s in SENTENCES]
    pieces = EDGES[:150] + [w for s in SENTENCES for w in s.split(" ")]
    glue = ["", " ", "  ", "\n", "\r\n", "\t", ", ", "'s ", "-", "1", "é", "\u0301", "<s>", " <mask> "]
    texts = list(dict.fromkeys(texts))
    while len(texts) < 480:
        texts.append("".join(rng.choice(pieces) + rng.choice(glue) for _ in range(rng.randrange(2, 9))))
    return texts


def training_texts():
    docs = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("[a-c]*.md")))[:60000]
    return docs.split("\n") + SENTENCES * 4 + [unicodedata.normalize("NFD", s) for s in SENTENCES]


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
TEKKEN = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
KIMI = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def byte_level(*before, use_regex=False, add_prefix_space=False):
    last = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    return pre_tokenizers.Sequence([*before, last]) if before else last


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def special(*contents, **flags):
    return [AddedToken(content, special=True, normalized=False, **flags) for content in contents]


def spaces_decoder(strip):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def train(pre_tokenizer, normalizer=None, decoder=None, added=(), byte_fallback=False, **model):
    """A tokenizer with a small vocabulary; byte_fallback: the SentencePiece kind, of characters."""
    is_bytes = decoder is None
    start = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] if byte_fallback else []
    tokenizer = Tokenizer(models.BPE(byte_fallback=byte_fallback, **model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    # Words of characters are trained blank by blank; the file's own pre-tokenizer comes afterwards.
    tokenizer.pre_tokenizer = pre_tokenizer if is_bytes else pre_tokenizers.Metaspace(prepend_scheme="never")
    alphabet = pre_tokenizers.ByteLevel.alphabet() if is_bytes else []
    size = VOCABULARY + len(start) + (0 if is_bytes else 300)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=start, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(training_texts(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel() if is_bytes else decoder
    # Training made its special tokens added tokens; only those of the family stay.
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.add_tokens(list(added))
    return tokenizer


def families():
    ws = pre_tokenizers.Metaspace
    llama_specials = special("<unk>", "<s>", "</s>")
    sentencepiece = dict(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    llama2_normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return {
        "gpt2": train(byte_level(use_regex=True), added=special("<|endoftext|>")),
        "llama2": train(None, llama2_normalizer, spaces_decoder(True), llama_specials, **sentencepiece),
        "llama3": train(byte_level(split(LLAMA3)), ignore_merges=True, added=special("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")),
        "mistral": train(ws(prepend_scheme="first", split=False), None, spaces_decoder(True), llama_specials + special("[INST]", "[/INST]"), **sentencepiece),
        "tekken": train(byte_level(split(TEKKEN)), ignore_merges=True, added=special("<unk>", "<s>", "</s>", "[INST]", "[/INST]")),
        "qwen2": train(byte_level(split(QWEN2)), normalizers.NFC(), added=special("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
        "qwen3": train(byte_level(split(QWEN2)), normalizers.NFC(), added=special("<|endoftext|>", "<|im_start|>", "<|im_end|>") + [AddedToken(t, normalized=False) for t in ("<tool_call>", "</tool_call>", "<think>", "</think>")]),
        "smollm2": train(byte_level(pre_tokenizers.Digits(individual_digits=True), use_regex=True), added=special("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
        "deepseek_v3": train(byte_level(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK)), normalizers.Sequence([]), added=special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>") + [AddedToken("<｜User｜>", normalized=False)]),
        "gemma": train(pre_tokenizers.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁"), spaces_decoder(False), special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>") + [AddedToken(t, normalized=False) for t in ("\n\n", "\n\n\n", "▁▁", "▁▁▁▁")], **sentencepiece),
        "pythia": train(byte_level(use_regex=True), normalizers.NFC(), added=special("<|endoftext|>", "<|padding|>") + [AddedToken(" " * n, normalized=True) for n in range(2, 9)]),
        "o200k": train(byte_level(split(O200K)), added=special("<|endoftext|>", "<|endofprompt|>")),
        "kimi": train(byte_level(split(KIMI)), added=special("[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>")),
    }


def components():
    """Every component by itself, over a vocabulary of bytes or of characters."""
    chars = dict(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    byte_base = train(byte_level(use_regex=True), added=special("<|endoftext|>"))
    char_base = train(None, None, spaces_decoder(False), special("</s>"), **chars)
    made = []

    def add(name, base, added=(), model=None, decoder=None, **parts):
        file = json.loads(base.to_str())
        file["model"].update(model or {})
        if decoder is not None:
            file["decoder"] = decoder
        tokenizer = Tokenizer.from_str(json.dumps(file))
        for part, value in parts.items():
            setattr(tokenizer, part, value)
        tokenizer.add_tokens(list(added))
        made.append((name, tokenizer))

    for form in (normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase):
        add(form.__name__, byte_base, normalizer=form())
    for left, right in ((True, True), (True, False), (False, True)):
        add(f"Strip {left} {right}", byte_base, normalizer=normalizers.Strip(left, right))
    add("Replace String", byte_base, normalizer=normalizers.Replace("a", "bb"))
    add("Replace Regex", byte_base, normalizer=normalizers.Replace(Regex(r"\s+|\p{N}{2}"), " "))
    add("Sequence", byte_base, normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\p{Mn}"), ""), normalizers.Strip()]))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            add(f"Split {behavior} {invert}", byte_base, pre_tokenizer=byte_level(split(r"\s|\p{P}", behavior, invert)))
        add(f"Split by a string {behavior}", byte_base, pre_tokenizer=byte_level(pre_tokenizers.Split("a.", behavior)))
        add(f"Punctuation {behavior}", byte_base, pre_tokenizer=byte_level(pre_tokenizers.Punctuation(behavior)))
    for name, pattern in (("intersection", r"[\p{Ll}&&[^\p{Han}]]+|\s+|."), ("interval plus", r"\p{N}{1,3}+|\P{N}+"), ("hex", r"\h+"), ("end", r"a$|\w+|\s"), ("nested", r"[a[b-f]]+"), ("posix", r"[[:alpha:]]+|[[:^alpha:]]"), ("lookbehind", r"(?<=a)b|."), ("possessive", r"\p{L}++\s?|[^\p{L}]"), ("atomic", r"(?>a+)b|.")):
        add(f"pattern {name}", byte_base, pre_tokenizer=byte_level(split(pattern)))
    add("Digits together", byte_base, pre_tokenizer=byte_level(pre_tokenizers.Digits(False), use_regex=True))
    add("Whitespace", byte_base, pre_tokenizer=byte_level(pre_tokenizers.Whitespace()))
    add("WhitespaceSplit", byte_base, pre_tokenizer=byte_level(pre_tokenizers.WhitespaceSplit()))
    add("ByteLevel prefix", byte_base, pre_tokenizer=byte_level(use_regex=True, add_prefix_space=True))
    add("ByteLevel in the midst", byte_base, pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]")]))
    for scheme in ("always", "first", "never"):
        for is_split in (True, False):
            metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=is_split)
            add(f"Metaspace {scheme} {is_split}", char_base, pre_tokenizer=metaspace)
    add("Metaspace behind Split", char_base, pre_tokenizer=pre_tokenizers.Sequence([split(r"\p{N}"), pre_tokenizers.Metaspace()]))
    add("no byte fallback", char_base, model={"byte_fallback": False})
    add("unknown ones apart", char_base, model={"byte_fallback": False, "fuse_unk": False})
    add("no unknown token", char_base, model={"byte_fallback": False, "unk_token": None})
    add("ignore_merges of characters", char_base, model={"ignore_merges": True}, pre_tokenizer=pre_tokenizers.Metaspace())
    tokens = [AddedToken("<mask>", lstrip=True, normalized=False, special=True), AddedToken("RIGHT", rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False), AddedToken("Shout", normalized=True)]
    add("added tokens", byte_base, tokens)
    add("added tokens, lower case", byte_base, tokens, normalizer=normalizers.Lowercase())
    add("added tokens, prefix", char_base, tokens, normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    return made


def trained_bpe():
    """Byte-level vocabularies: cut off in the midst, by the least frequency, and when no pair is left."""
    code = (ROOT / "tools" / "check_mentions.py").read_text(encoding="utf-8")
    prose = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    texts = [prose, code, "aaaaaaaa aaa aaaaa abababab babab\n" * 5] + EDGES + SENTENCES * 2
    trained = []
    for vocab_size, min_frequency, special in ((700, 2, ["<|endoftext|>"]), (20000, 3, ["<s>", "</s>"]), (20000, 1, ["e<"])):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(texts, trainer)
        trained.append({"vocab_size": vocab_size, "min_frequency": min_frequency, "special_tokens": special, "tokenizer": json.loads(tokenizer.to_str())})
    return {"texts": texts, "trained": trained}


def cases_of(tokenizer, texts):
    cases = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        cases.append({"ids": ids} if decoded == text else {"ids": ids, "decoded": decoded})
    return cases


def write(name, value):
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    (OUT / name).write_bytes(gzip.compress(content, 9, mtime=0))


def main():
    assert tokenizers.__version__.startswith("0.23."), tokenizers.__version__
    OUT.mkdir(parents=True, exist_ok=True)
    write("trained-bpe.json.gz", trained_bpe())
    if sys.argv[1:] == ["--trained-bpe"]:
        return
    texts = make_texts()
    write("texts.json.gz", texts)
    for name, tokenizer in families().items():
        write(f"{name}.json.gz", {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases_of(tokenizer, texts)})
    write("components.json.gz", [{"name": name, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases_of(tokenizer, texts[::COMPONENT_STEP])} for name, tokenizer in components()])
    print(f"{len(texts)} texts; {sum(path.stat().st_size for path in OUT.iterdir())} bytes in {OUT}")


if __name__ == "__main__":
    main()
