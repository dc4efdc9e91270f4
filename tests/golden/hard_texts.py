"""Goldens of tokenizers: the tokens that AutoTokenizer makes of hard texts in twenty scripts, with every kind of folder that
limbeck reads.

Made by:  cargo xtask golden
Read by:  the tests of limbeck-tokenizer

Writes beside this file, always the same bytes:
  hard_texts/texts.json  the texts
  hard_texts/NAME.json   {"like", "files": {NAME: content}, "ids": {the text's number: its ids}}. A folder that is `like` another one
                         has that one's files with its own over them, and of the ids only those that differ

The vocabularies are counted from the texts here, so that no trainer's ties decide about them.
"""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, DebertaV2Tokenizer

HERE = Path(__file__).parent
OUT = HERE / "hard_texts"

BY_SCRIPT = [
    # Latin
    "The quick brown fox jumps over the lazy dog.",
    "THE QUICK Brown foX, JUMPS; over: the lazy dog!",
    "naïve café, déjà vu, façade, jalapeño, Ångström, crème brûlée",
    "nai\u0308ve cafe\u0301, de\u0301ja\u0300 vu, A\u030angstro\u0308m",
    "Größe, Straße, STRASSE, ẞ, Maß, Fußgängerübergänge",
    "Zażółć gęślą jaźń, Łódź, Český Krumlov, žluťoučký kůň",
    "İstanbul, ISPARTA, ılık, I\u0307zmir, DİYARBAKIR",
    "Ðe þing wæs ƿell, Ȝet ſome ſtrange ſpelling",
    "Tiếng Việt có nhiều dấu: ở đâu, người, đường, nghĩa",
    "ĳsvrij, ĲSSEL, ﬁne ﬂour, oﬃce, ﬄ, ﬅ, ﬆ, Ǆ ǅ ǆ",
    # Greek
    "Η γρήγορη αλεπού πηδάει πάνω από το σκυλί.",
    "ΟΔΥΣΣΕΎΣ, Οδυσσεύς, σοφός ΣΟΦΌΣ",
    "ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν",
    "ᾳ ᾼ ῳ ΰ ΐ µ μ Ω Ω",
    # Cyrillic
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "ЁЖИК и ёлка, Йод и йога, и\u0306од",
    "Ґанок, їжак, Її, їхній, Київ",
    "Ђорђе Његош, ћуприја, љубав, џеп",
    "Ѳедоръ, ѣхать, Іисусъ, ѵпостась",
    # Armenian, Georgian
    "Հայերեն տառեր, ԵՒ, և, Երևան։",
    "ქართული ენა, თბილისი, საქართველო",
    "ᲥᲐᲠᲗᲣᲚᲘ და ქართული",
    # Hebrew
    "שלום עולם, מה נשמע היום?",
    "שָׁלוֹם עֲלֵיכֶם, בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "צה״ל, ג׳ירפה, אב־גד, יִשְׂרָאֵל",
    # Arabic
    "السلام عليكم ورحمة الله وبركاته",
    "الْعَرَبِيَّةُ لُغَةٌ جَمِيلَةٌ، أليس كذلك؟",
    "العـــربية مـــع تطويل، ١٢٣٤٥ و ۱۲۳۴۵",
    "لا إله إلا الله ﷲ ﷺ ﻻ ﻷ ﷽",
    "می‌خواهم کتاب‌هایم را بخوانم",
    "پاکستان میں اردو، ہندوستان، گُلزار",
    # Syriac, Thaana, N'Ko
    "ܫܠܡܐ ܥܠܡܐ",
    "ދިވެހި ބަސް",
    "ߒߞߏ ߞߊ߲",
    # Devanagari
    "नमस्ते दुनिया, आप कैसे हैं?",
    "हिन्दी में संयुक्त अक्षर: क्ष, त्र, ज्ञ, श्री।",
    "क़लम, ख़बर, ग़ज़ल, ज़मीन, फ़र्क़ १२३",
    "क\u093cलम और क्‍ष तथा क्‌ष",
    # Bengali, Gurmukhi, Gujarati, Oriya
    "বাংলা ভাষা, কেমন আছেন? ১২৩",
    "ড়, ঢ়, য়, ৎ, ক্ষ, বাঙ্‌লা",
    "ਪੰਜਾਬੀ ਭਾਸ਼ਾ, ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ",
    "ગુજરાતી ભાષા, કેમ છો?",
    "ଓଡ଼ିଆ ଭାଷା",
    # Tamil, Telugu, Kannada, Malayalam, Sinhala
    "தமிழ் மொழி, கொ கோ கௌ, ஸ்ரீ",
    "తెలుగు భాష, క్షేమం, జ్ఞానం",
    "ಕನ್ನಡ ಭಾಷೆ, ಕ್ಷಮಿಸಿ",
    "മലയാളം ഭാഷ, ന്‍, ൻ, ക്ഷ",
    "සිංහල භාෂාව, ක්‍රමය, ශ්‍රී",
    # Thai, Lao, Khmer, Burmese, Tibetan
    "สวัสดีชาวโลก วันนี้อากาศดีมาก",
    "น้ำ ทำ กำ นํ้า เเละ และ ๑๒๓",
    "ສະບາຍດີ ຊາວໂລກ ນ້ຳ",
    "សួស្តីពិភពលោក ភាសាខ្មែរ",
    "မင်္ဂလာပါ ကမ္ဘာလောက",
    "བཀྲ་ཤིས་བདེ་ལེགས། དཔེ་ཆ་",
    # Chinese, Japanese, Korean
    "今天天气很好，我们去公园散步吧。",
    "漢字與漢字，繁體中文：臺灣、龜、鬱",
    "模型model和tokens混在一起123个",
    "㐀㐁 𠀀𠀁 豈更 ⺀⺁ ⼀⼁",
    "こんにちは世界、今日はいい天気ですね。",
    "カタカナ ｶﾀｶﾅ ｶﾞｷﾞ パ ハ\u309a が か\u3099 ヴ",
    "々〆ヶ〇 ㍿ ㌔ ㍻ ①②③ ㈱",
    "안녕하세요 세계, 오늘 날씨가 좋네요.",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 ㅎㅏㄴ ﾡ ﾢ",
    # Ethiopic, Cherokee, Mongolian, Tifinagh, Ogham, runes
    "ሰላም ለዓለም፣ እንደምን ነህ።",
    "ᎣᏏᏲ ᏣᎳᎩ ꭳꮟᏺ",
    "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",
    "ⵜⴰⵎⴰⵣⵉⵖⵜ ᚛ᚑᚌᚐᚋ᚜ ᚠᚢᚦᚨᚱᚲ",
]

SYMBOLS = [
    "😀 😃 smile 😄!",
    "👩‍👩‍👧‍👦 family, 👨🏽‍💻 coder, 🏳️‍🌈 flag, 👍🏿",
    "🇩🇪🇫🇷🇯🇵 flags and 1️⃣2️⃣ keys, ❤️ ❤ ☺︎ ☺️",
    "a😀b👩‍🚀c",
    "½ ¼ ² ³ ₂ ™ ® © € £ ¥ ₹ ₿ ¢ ‰ № ℃ Å",
    "𝐛𝐨𝐥𝐝 𝑖𝑡𝑎𝑙𝑖𝑐 𝔣𝔯𝔞𝔨𝔱𝔲𝔯 𝟙𝟚𝟛 ⓐⓑ ⒜ ⅷ Ⅷ",
    "Ｆｕｌｌ ｗｉｄｔｈ，ＴＥＸＴ　１２３！＠＃",
    "“curly” ‘quotes’ «guillemets» „low“ 「corner」 ‹x› …‥·•",
    "dash - hyphen ‐ non‑breaking – en — em ― bar − minus ﹣ － x",
    "a+b=c, x*y/z, 3^2<10>5, {k: [v]}, $5 & 7% | ~ ` \\ _ @ #",
    "≤ ≥ ≠ ≈ ∑∏∫√∞ ∀∃ ∈∉ → ← ↔ ⇒ ░▒▓ ♠♣♥♦ ♪",
    "https://example.org/path?q=a%20b&c=d#e, me@example.org, #tag @user",
    "3.14159, 1,000,000.00, 1e-10, 0x1F, 12:30:45, 2024-01-31, +49-30-1234",
    "don't can't we'll I'm they've he'd it's O'Neil's 'tis rock'n'roll",
    "DON'T CAN'T WE'LL I'M THEY'VE",
    "state-of-the-art end_to_end camelCaseWord ALLCAPS MixedCASE x2y3z",
    "... !!! ??? ?!?! ,,, ;;; --- ___ ***",
    "(a)[b]{c}<d>\"e\"'f'`g`",
    "¡Hola! ¿Qué tal? ¶ § † ‡ ¦ ¬ ¯ ´ ¸ ¨",
    "؟ ، ؛ ۔ । ॥ 。 、 ！ ？ ； ： ・ ～ ፡ ፨ ། ༎ ܀",
]

SPACES = [
    "",
    " ",
    "   ",
    "\t",
    "\n",
    " leading space",
    "trailing space ",
    "  two  spaces  between  words  ",
    "tab\tbetween\t\ttabs",
    "line\nbreak\r\nand\rreturn\n\n",
    "no\u00a0break\u00a0space, narrow\u202fone, figure\u2007one",
    "thin\u2009hair\u200aem\u2003en\u2002ideographic\u3000ogham\u1680space",
    "line\u2028separator\u2029paragraph\u0085next\u000bvertical\u000cform",
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word\ufeffmark",
    "\ufeffbyte order mark first",
    "soft\u00adhyphen in a\u00ad word",
    "left\u200eto\u200fright \u202aembed\u202c \u2066isolate\u2069",
    "nul\u0000bell\u0007back\u0008esc\u001bdel\u007fc1\u0080\u0099",
    "\u0001\u0002\u0003",
    "replacement \ufffd and private \ue000\uf8ff and last \U0010ffff",
    "unassigned \u0378 \u05ff and nonchar \ufdd0 \uffff",
    "tag \U000e0041\U000e0042 and selector a\ufe0e b\ufe0f \U000e0100",
    "invisible \u2061\u2062\u2063 \u180e mongolian \u115f\u1160 \u3164 filler",
]

MARKS = [
    "e\u0301 é E\u0301 É e\u0301\u0323 e\u0323\u0301 ệ",
    "\u0301 mark alone, a\u0301\u0301\u0301\u0301 stacked",
    "z\u0335\u0321a\u0336l\u0337g\u0338o\u0489 \u0363\u0364",
    "a\u20dd b\u20e3 c\u0361d \u1ab0x \ufe20y\ufe21",
    "\u0344 \u0374 \u037e \u0387 \u1fbe \u212a \u212b \u2126",
    "ǖ ü\u0304 u\u0308\u0304 ṩ s\u0323\u0307 s\u0307\u0323",
    "ﾞ alone ﾟ alone か ﾞ",
    "ﬀ ﬁ ﬂ ﬃ ﬄ ŀ Ŀ ŉ ǰ ẖ ẗ ẘ ẙ ẚ",
    "ΐ ΰ ᾀ ᾈ ᾷ ῼ ΅ ´ ʹ ʼ ˈ ː",
]

LONG = [
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "ab" * 300,
    "é" * 100,
    "é" * 101,
    "漢" * 120,
    "ก" * 150,
    "😀" * 60,
    "x" * 50 + "-" + "y" * 120 + "." + "z" * 20,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "1234567890" * 15,
    "!" * 130,
    "\u0301" * 110,
    "word " * 60,
]

SPECIALS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "<s>NOTUSED", "<unk>NOTUSED",
    "aspirin", "[ENT]", "New York", "über", "lonely", "<left>", "<right>", "<extra>", "<0x41>", "▁", "▁the", "##s", "Ġthe",
]  # fmt: skip
AROUND = ["{}", "the {} fox", "the{}fox", "{}{}", "a {}, b", "The  {}  Fox"]
CASES = ["[mask] [Mask] <MASK> <Mask>", "ASPIRIN Aspirin aspirins", "[ ENT ] [ent]", "NEW YORK New  York new york", "ÜBER Über u\u0308ber",
         "lonely, lonelyx xlonely LONELY", "[MASK][SEP][CLS]<mask></s><s>", "the [MASK", "MASK] the", "<mask>.<mask>",
         "<s>the</s>", "</s></s> <pad> <pad>", "a<mask> b <mask>c", " [MASK] \t[MASK]\n", "<S> </S> <PAD> <UNK>"]  # fmt: skip

TEXTS = BY_SCRIPT + SYMBOLS + SPACES + MARKS + LONG + [a.replace("{}", s) for s in SPECIALS for a in AROUND] + CASES

# Folders whose tokens are those of the folder that they are like, though a file says otherwise.
SAME = ["bert-json-disagrees", "distilbert-json-disagrees", "bert-json-as-file", "mpnet-json-disagrees", "roberta-json-disagrees", "xlmr-in-bert"]


def main():
    transformers.logging.set_verbosity_error()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    write(OUT / "texts.json", TEXTS)
    folders = {}

    def folder(name, like=None, **files):
        base = dict(folders[like]["files"]) if like else {}
        own = {file: content for file, content in files.items()}
        folders[name] = {"like": like, "own": own, "files": base | own}

    wordpiece = word_pieces()
    cased = wordpiece_json(wordpiece, lowercase=False)
    folder("bert-vocab", config_json=model("bert"), vocab_txt="".join(f"{token}\n" for token in wordpiece))
    folder("bert-vocab-cased", "bert-vocab", tokenizer_config_json=config("BertTokenizer", do_lower_case=False))
    folder("bert-vocab-accents", "bert-vocab", tokenizer_config_json=config("BertTokenizer", strip_accents=False))
    folder("bert-vocab-chinese", "bert-vocab", tokenizer_config_json=config("BertTokenizer", tokenize_chinese_chars=False))
    folder("bert-vocab-accents-cased", "bert-vocab", tokenizer_config_json=config("BertTokenizerFast", do_lower_case=False, strip_accents=True))
    folder("bert-vocab-split-special", "bert-vocab", tokenizer_config_json=config("BertTokenizer", split_special_tokens=True))
    size = len(wordpiece)
    folder("bert-vocab-added", "bert-vocab",
           added_tokens_json={"aspirin": size, "[ENT]": size + 1, "New York": size + 2, "über": size + 3},
           special_tokens_map_json={"additional_special_tokens": ["[ENT]"], "mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}})  # fmt: skip
    folder("bert-json", config_json=model("bert"), tokenizer_json=wordpiece_json(wordpiece, lowercase=True), tokenizer_config_json=config("BertTokenizer", do_lower_case=True))  # fmt: skip
    folder("bert-json-cased", "bert-json", tokenizer_json=cased, tokenizer_config_json=config("BertTokenizer", do_lower_case=False))
    folder("bert-json-disagrees", "bert-json", tokenizer_json=cased)
    folder("bert-json-without-settings", config_json=model("bert"), tokenizer_json=cased)
    folder("bert-json-as-file", "bert-json-cased", tokenizer_config_json=config("PreTrainedTokenizerFast", do_lower_case=True))
    folder("distilbert-json-disagrees", "bert-json-disagrees", config_json=model("distilbert"), tokenizer_config_json=config("DistilBertTokenizerFast"))  # fmt: skip
    folder("electra-of-config", "bert-json-cased", config_json=model("electra") | {"tokenizer_class": "ElectraTokenizerFast"}, tokenizer_config_json={"do_lower_case": False, "strip_accents": True})  # fmt: skip
    decoder = {
        str(size): added("aspirin", normalized=True),
        str(size + 1): added("[ENT]", special=True),
        str(size + 2): added("lonely", single_word=True, normalized=True),
        str(size + 3): added("<left>", lstrip=True),
        str(size + 4): added("<right>", rstrip=True),
        str(wordpiece.index("[MASK]")): added("[MASK]", lstrip=True, special=True),
    }
    folder("bert-json-added", "bert-json", tokenizer_config_json=config("BertTokenizer", added_tokens_decoder=decoder, additional_special_tokens=["<extra>"]))  # fmt: skip
    folder("bert-as-file-added", "bert-json-as-file", tokenizer_config_json=config("PreTrainedTokenizerFast", added_tokens_decoder=decoder, extra_special_tokens=["<extra>"], mask_token="[MASK]", cls_token="[CLS]"))  # fmt: skip

    mpnet = ["<s>", "<pad>", "</s>", "[UNK]"] + wordpiece[5:] + ["<mask>"]
    folder("mpnet-vocab", config_json=model("mpnet"), vocab_txt="".join(f"{token}\n" for token in mpnet), tokenizer_config_json=config("MPNetTokenizer"))
    folder("mpnet-json", config_json=model("mpnet"), tokenizer_json=mpnet_json(mpnet, lowercase=True), tokenizer_config_json=config("MPNetTokenizer", do_lower_case=True))  # fmt: skip
    folder("mpnet-json-disagrees", "mpnet-json", tokenizer_json=mpnet_json(mpnet, lowercase=False))
    folder("mpnet-json-cased", "mpnet-json", tokenizer_config_json=config("MPNetTokenizer", do_lower_case=False, mask_token={"__type": "AddedToken"} | added("<mask>", special=True)))  # fmt: skip
    folder("mpnet-of-config", "mpnet-json-disagrees", tokenizer_config_json={"strip_accents": False, "tokenize_chinese_chars": False})

    vocabulary, merges = byte_pairs()
    bpe = bpe_json(vocabulary, merges, add_prefix_space=False)
    folder("roberta-merges", config_json=model("roberta"), vocab_json=vocabulary, merges_txt="#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))  # fmt: skip
    folder("roberta-merges-spaced", "roberta-merges", tokenizer_config_json=config("RobertaTokenizer", add_prefix_space=True))
    folder("roberta-json", config_json=model("roberta"), tokenizer_json=bpe, tokenizer_config_json=config("RobertaTokenizer"))
    folder("roberta-json-disagrees", "roberta-json", tokenizer_json=bpe_json(vocabulary, merges, add_prefix_space=True))
    folder("roberta-json-spaced", "roberta-json", tokenizer_config_json=config("RobertaTokenizerFast", add_prefix_space=True))
    folder("roberta-as-file", "roberta-json", tokenizer_json=bpe_json(vocabulary, merges, add_prefix_space=True), tokenizer_config_json=config("PreTrainedTokenizerFast", add_prefix_space=False))  # fmt: skip

    pieces = unigrams()
    folder("xlmr-json", config_json=model("xlm-roberta"), tokenizer_json=unigram_json(pieces), tokenizer_config_json=config("XLMRobertaTokenizer"))  # fmt: skip
    folder("xlmr-in-bert", "xlmr-json", config_json=model("bert"), tokenizer_config_json=config("XLMRobertaTokenizerFast"))
    folder("xlmr-unspaced", "xlmr-json", tokenizer_config_json=config("XLMRobertaTokenizer", add_prefix_space=False))
    folder("xlmr-as-file", "xlmr-json", tokenizer_config_json=config("PreTrainedTokenizerFast"))
    folder("camembert-json", "xlmr-json", config_json=model("camembert"), tokenizer_config_json=config("CamembertTokenizer"))
    folder("deberta-json", config_json=model("deberta-v2"), tokenizer_json=deberta_json(pieces), tokenizer_config_json=config("DebertaV2Tokenizer"))
    folder("sentencepiece-bpe", config_json=model("xlm-roberta"), tokenizer_json=sentencepiece_bpe(), tokenizer_config_json=config("PreTrainedTokenizerFast", unk_token="<unk>"))  # fmt: skip

    ids = {}
    for name, entry in folders.items():
        ids[name] = tokens(entry["files"])
        like = entry["like"]
        differing = {str(n): i for n, i in enumerate(ids[name]) if not like or i != ids[like][n]}
        assert bool(differing) != (name in SAME), f"{name} and {like}"
        files = {named(file): content(c) for file, c in entry["own"].items()}
        write(OUT / f"{name}.json", {"like": like, "files": files, "ids": differing})


def named(keyword):
    """`vocab_txt` to vocab.txt."""
    stem, _, kind = keyword.rpartition("_")
    return f"{stem}.{kind}"


def content(of):
    return of if isinstance(of, str) else json.dumps(of, ensure_ascii=False, separators=(",", ":"))


def tokens(files):
    """What AutoTokenizer makes of the texts."""
    with tempfile.TemporaryDirectory() as folder:
        for file, of in files.items():
            Path(folder, named(file)).write_text(content(of), encoding="utf-8", newline="")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return [tokenizer(text)["input_ids"] for text in TEXTS]


def write(path, value):
    """One entry a line, so that a difference shows what changed."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for before in ('"ids":{', '],"', '","'):
        after = before + "\n" if before.endswith("{") else before[:-1] + "\n" + before[-1:]
        if before != '","' or isinstance(value, list):
            text = text.replace(before, after)
    assert json.loads(text) == value
    path.write_text(text + "\n", encoding="utf-8")


def model(kind):
    return {"model_type": kind, "vocab_size": 100000}


def config(name, **settings):
    return {"tokenizer_class": name} | settings


def added(content, **settings):
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": False}
    return {"content": content} | flags | settings


def counted(pieces, most):
    """The most frequent, those of the same number in the order of the alphabet."""
    counts = Counter(pieces)
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[:most]


def words_of(normalizer):
    pre = pre_tokenizers.BertPreTokenizer()
    return [word for text in TEXTS for word, _ in pre.pre_tokenize_str(normalizer.normalize_str(text))]


def word_pieces():
    """Letters, beginnings and ends of words, of texts as they are and in small letters."""
    words = [word for lower in (False, True) for word in words_of(normalizers.BertNormalizer(lowercase=lower))]
    words = [word for word in words if len(word) <= 60]
    starts = counted((word[:n] for word in words for n in (1, 2, 3, 5, 8) if len(word) >= n), 1000)
    rest = counted(("##" + word[at : at + n] for word in words for at in range(1, len(word)) for n in (1, 2) if at + n <= len(word)), 700)
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + starts + rest


def wordpiece_json(wordpiece, lowercase):
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(wordpiece)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return json.loads(tokenizer.to_str())


def mpnet_json(pieces, lowercase):
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    specials = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "[UNK]")]
    tokenizer.add_special_tokens(specials + [AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    return json.loads(tokenizer.to_str())


def merged(words, most):
    """Pairs in the order in which they are joined: the most frequent first, and of those the first of the alphabet."""
    merges = []
    words = Counter(words)
    words = {tuple(word): count for word, count in words.items()}
    for _ in range(most):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        joined = {}
        for word, count in words.items():
            letters, at = [], 0
            while at < len(word):
                is_pair = word[at : at + 2] == best
                letters.append("".join(best) if is_pair else word[at])
                at += 2 if is_pair else 1
            joined[tuple(letters)] = joined.get(tuple(letters), 0) + count
        words = joined
    return merges


def byte_pairs():
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges = merged((word for text in TEXTS for word, _ in pre.pre_tokenize_str(text)), 700)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + letters + list(dict.fromkeys(a + b for a, b in merges)) + ["<mask>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def bpe_json(vocabulary, merges, add_prefix_space):
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=add_prefix_space)
    specials = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens(specials + [AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    return json.loads(tokenizer.to_str())


def unigrams():
    texts = ["\u2581" + text.replace(" ", "\u2581") for text in TEXTS if len(text) < 200]
    letters = sorted({letter for text in texts for letter in text})
    longer = counted((text[at : at + n] for text in texts for at in range(len(text)) for n in (2, 3, 4) if at + n <= len(text) and "\u2581" not in text[at + 1 : at + n]), 800)  # fmt: skip
    specials = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    # Sums of these are exact, so that two ways to split a text tie for every reader of numbers, or for none.
    pieces = [(letter, -12.0) for letter in letters] + [(piece, -6.0 - n / 256) for n, piece in enumerate(longer) if piece not in letters]
    return specials + pieces + [("<mask>", 0.0)]


def unigram_json(pieces):
    """Its normalizer and spaces are others than XLM-R's class has."""
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ends)
    specials = [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens(specials + [AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    return json.loads(tokenizer.to_str())


def deberta_json(pieces):
    """As transformers saves it; the mask is no part of the vocabulary."""
    specials = [(token, 0.0) for token in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
    return json.loads(DebertaV2Tokenizer(vocab=specials + pieces[4:-1]).backend_tokenizer.to_str())


def sentencepiece_bpe():
    """BPE over characters, as SentencePiece's: what the vocabulary lacks becomes bytes."""
    words = ["\u2581" + word for text in TEXTS if len(text) < 200 for word in text.split(" ")]
    letters = counted((letter for word in words for letter in word), 500)
    known = set(letters)
    merges = merged((word for word in words if known.issuperset(word)), 500)
    joined = list(dict.fromkeys(a + b for a, b in merges))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + letters + joined
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    return json.loads(tokenizer.to_str())


if __name__ == "__main__":
    main()
