"""Lines for the embedded checkpoint's training: ``python tests/make_lines.py WORDNET OUT.json [--jobs N]``.

Run it in the test environment. WORDNET is a folder with WordNet 3.0's ``data.*`` and ``cntlist.rev``
(Debian: wordnet-base). A job is what ``make_speech.py`` says at once: a paragraph of sentences, a list of
words and short replies, or one of these alone. Sentences are WordNet's usage examples and definitions, and
everyday ones made of parts; what ``miso evaluate`` says is left out. OUT has the jobs, and the phonemes of
every sentence.
"""

import argparse
import json
import random
import re
import sys
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso.text.phonemes import phonemes  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402

REPLIES = (
    "Yes|No|Hi|Stop|Maybe|Hello|Thanks|Wait|Okay|Sure|Right|Exactly|Good|Great|Fine|Well|Oh|Hey|Bye|"
    "Goodbye|Please|Sorry|Never|Always|Today|Tomorrow|Yesterday|Tonight|Now|Later|Soon|Here|There|"
    "Where|When|Why|How|Who|What|Which|Really|Indeed|Perhaps|Certainly|Of course|Not yet|Not now|"
    "Not at all|No way|Thank you|You're welcome|Good morning|Good night|Good luck|Well done|Come here|"
    "Come in|Come on|Go ahead|Hold on|Look out|Hurry up|Calm down|Sit down|Stand up|Wake up|Listen|"
    "Help me|Follow me|Trust me|Excuse me|I see|I know|I think so|I don't know|I don't care|I'm sorry|"
    "I'm fine|I'm here|I'm ready|I'm not sure|Me too|So do I|Who knows|What now|What time is it|"
    "Where are you|How are you|How much|Why not|See you soon|See you later|Take care|Never mind|"
    "Let's go|Let me see|That's right|That's all|That's enough|It's fine|It's late|It's true|"
    "Are you sure|Do it|Don't move|Don't worry|Wait a minute|Just a moment|Once more|Again|Try again|"
    "Next|Start|Continue|Pause|Play|Record|Save|Open|Close|Cancel|Delete|Undo|Done|Ready|Finished|"
    "First|Second|Third|Last|Left|Up|Down|Inside|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|"
    "Sunday|January|February|March|April|May|June|July|August|September|October|November|December|"
    "Spring|Summer|Autumn|Winter|Zero|One|Two|Three|Four|Five|Six|Seven|Eight|Nine|Ten|Eleven|Twelve|"
    "Twenty|Thirty|A hundred|A thousand|North|South|East|West|Red|Green|Blue|Yellow|Black|White|Mother|"
    "Father|Sister|Brother|Doctor|Teacher|Water|Coffee|Tea|Bread|House|Home|School|Work|Music|Rain|"
    "Snow|Welcome back|Congratulations|Happy birthday|Wonderful|Beautiful|Perfect|Impossible|Correct|"
    "Wrong|Nothing|Something|Everything|Nobody|Everyone|Sometimes|Often|Already|Almost|Enough|Too late|"
    "Quickly|Slowly|Finally|Suddenly|However|Therefore|Meanwhile|Anyway|Instead"
).split("|")
WHO = (
    "I|you|we|they|he|she|my brother|the doctor|our neighbour|the children|her sister|a friend|"
    "the teacher|my wife|his father|the driver|everyone|nobody|the girl|the old man|Mary|John|Peter|"
    "Anna|Tom"
).split("|")
DID = (
    "saw|found|lost|bought|sold|wanted|needed|forgot|remembered|heard|liked|hated|made|broke|fixed|"
    "opened|closed|left|took|brought|kept|wrote|read|painted|cleaned|watched|followed|asked for|"
    "looked at|waited for|talked about|paid for|cooked|washed|carried|dropped|hid|chose|sent|got"
).split("|")
WHAT = (
    "the book|a letter|the door|the window|a new car|the old house|some bread|a cup of tea|the keys|"
    "her coat|his shoes|the dog|a small cat|the garden|the money|a picture|the radio|the news|"
    "a good story|the answer|the box|a glass of water|the train|the tickets|a map|dinner|breakfast|"
    "the piano|that song|the phone|the lamp|a red dress|the broken chair|my bag|their boat|the bill|"
    "two apples|the map of the city|a birthday cake"
).split("|")
WHEN = (
    "today|yesterday|last night|in the morning|after lunch|before dinner|at home|at the office|"
    "in the park|by the river|on Monday|last week|two days ago|again|with a smile|without a word|"
    "in the rain|for the first time|near the station|on the table|in the kitchen|from the shop|"
    "for her mother|at the end of the street|because it was late|when the rain stopped|"
    "before anyone came|as soon as possible|although it was cold"
).split("|")
BEGINNINGS = "What a pity that|I think|I am sure|We all know that|They said that|It is true that".split("|")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z ,'\-;:]+[.?!]?")
_LONGEST = 480  # phonemes of a job: Kokoro reads 508


class Lines:
    """What is drawn from."""

    def __init__(self, wordnet: Path, seed: int):
        self.rng = random.Random(seed)
        self.left_out = {
            line.strip().casefold() for line in SENTENCES.read_text(encoding="utf-8").splitlines()
        }
        self.examples, self.definitions = self._glosses(wordnet)
        self.words = self._common(wordnet / "cntlist.rev")

    def sentence(self) -> str:
        """A sentence that is said in training."""
        while True:
            kind = self.rng.random()
            text = (
                self.rng.choice(self.examples)
                if kind < 0.6
                else self.rng.choice(self.definitions)
                if kind < 0.75
                else self.everyday()
            )
            if text.casefold() not in self.left_out:
                return text

    def everyday(self) -> str:
        who, did, what, when = map(self.rng.choice, (WHO, DID, WHAT, WHEN))
        kind = self.rng.random()
        text = f"{who} {did} {what}" if kind < 0.2 else f"{who} {did} {what} {when}"
        if kind > 0.8:
            text = f"{self.rng.choice(BEGINNINGS)} {text}"
        elif kind > 0.65:
            text += f", and {self.rng.choice(WHO)} {self.rng.choice(DID)} {self.rng.choice(WHAT)}"
        return f"{text[0].upper()}{text[1:]}."

    def short(self) -> str:
        """One to four words."""
        kind, words = self.rng.random(), self.sentence().rstrip(".?!").split()
        if kind < 0.45:
            text = self.rng.choice(REPLIES)
        elif kind < 0.75 or len(words) < 5:
            text = self.rng.choice(self.words[:3000] if kind < 0.6 else self.words)
        else:
            first, count = self.rng.randrange(len(words) - 4), self.rng.randint(2, 4)
            text = " ".join(words[first : first + count]).strip(",;:'- ")
        return text[:1].upper() + text[1:] + self.rng.choices(".!?", (8, 1, 1))[0]

    def job(self) -> list[str]:
        """Sentences that are said at once."""
        kind = self.rng.random()
        if kind < 0.28:  # lists of short ones, and short ones alone
            return [self.short() for _ in range(self.rng.randint(4, 9) if kind < 0.18 else 1)]
        parts, letters = [], self.rng.randint(90, 330)
        while sum(map(len, parts)) < letters and len(parts) < 8:
            parts.append(self.short() if self.rng.random() < 0.12 else self.sentence())
        return parts

    @staticmethod
    def _glosses(wordnet: Path) -> tuple[list[str], list[str]]:
        """WordNet's usage examples and definitions that can be read aloud."""
        examples, definitions = set(), set()
        for kind in ("noun", "verb", "adj", "adv"):
            for row in (wordnet / f"data.{kind}").read_text(encoding="latin-1").splitlines():
                gloss = row.partition("|")[2].strip()
                examples |= set(re.findall(r'"([^"]{15,160})"', gloss))
                definitions |= set(re.sub(r"\([^)]*\)", "", gloss.split('"')[0]).split(";"))

        def readable(texts: set[str]) -> list[str]:
            plain = (
                t for t in sorted(t.strip(" ;:") for t in texts) if 15 < len(t) < 160 and _PLAIN.fullmatch(t)
            )
            return [t[0].upper() + t[1:] + ("" if t[-1] in ".?!" else ".") for t in plain]

        return readable(examples), readable(definitions)

    @staticmethod
    def _common(counts: Path) -> list[str]:
        """Words by how often WordNet's texts have them."""
        total: dict[str, int] = {}
        for row in counts.read_text(encoding="latin-1").splitlines():
            key, _, count = row.split()[:3]
            word = key.partition("%")[0]
            total[word] = total.get(word, 0) + int(count)
        return [w for w in sorted(total, key=lambda w: -total[w]) if re.fullmatch(r"[a-z]{2,12}", w)][:7000]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make lines for the embedded checkpoint's training.")
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=16_000, help="about 10 s of speech each")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lines = Lines(args.wordnet, args.seed)
    jobs = [lines.job() for _ in range(args.jobs)]
    texts = sorted({text for job in jobs for text in job})
    with Pool() as pool:
        spelt = dict(zip(texts, pool.map(phonemes, texts, chunksize=200)))
    known = {text: symbols for text, symbols in spelt.items() if symbols}
    jobs = [[text for text in job if text in known] for job in jobs]
    jobs = [job for job in jobs if job and sum(len(known[text]) + 1 for text in job) < _LONGEST]
    args.out.write_text(json.dumps({"jobs": jobs, "phonemes": known}), encoding="utf-8")
    print(f"{len(jobs)} jobs, {len(known)} texts")


if __name__ == "__main__":
    main()
