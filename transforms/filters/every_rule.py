"""All rules and groups, by the names that a recipe's `filter` has for them.

```
gopher_words      a rule
c4                a group: c4_lorem_ipsum, c4_curly_bracket, c4_sentences
```

A new rule is a subclass of `Rule` in a module of this package, and a line of `RULES`.
"""

from byline.transforms.filters import c4, fineweb, gopher, sizes
from byline.transforms.filters.functions import Function
from byline.transforms.filters.labels import Label
from byline.transforms.filters.matches import Matches
from byline.transforms.filters.rules import Group, Rule
from byline.transforms.filters.value_lists import Domains, Hosts

RULES: dict[str, type[Rule]] = {
    rule.kind: rule
    for rule in (
        sizes.Characters,
        sizes.Words,
        sizes.Number,
        Label,
        Hosts,
        Domains,
        Matches,
        Function,
        gopher.GopherWords,
        gopher.GopherWordLength,
        gopher.GopherHashes,
        gopher.GopherEllipses,
        gopher.GopherBulletLines,
        gopher.GopherEllipsisLines,
        gopher.GopherAlphabeticWords,
        gopher.GopherStopWords,
        gopher.GopherDuplicateLines,
        gopher.GopherDuplicateParagraphs,
        gopher.GopherDuplicateLineCharacters,
        gopher.GopherDuplicateParagraphCharacters,
        gopher.GopherTopNgram,
        gopher.GopherDuplicateNgrams,
        c4.C4LoremIpsum,
        c4.C4CurlyBracket,
        c4.C4Sentences,
        c4.C4BadWords,
        fineweb.FinewebLinePunctuation,
        fineweb.FinewebDuplicateLineCharacters,
        fineweb.FinewebShortLines,
    )
}
GROUPS: dict[str, Group] = {
    "gopher_quality": gopher.QUALITY,
    "gopher_repetition": gopher.REPETITION,
    "c4": c4.PAGES,
    "fineweb": fineweb.LINES,
}
