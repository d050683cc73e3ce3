"""The words of the made web (`byline.lab.corpora.sites`): names, values of relations, how each kind of site tells them.

```
SHARED["born"]                "{name} was born in {value}."                    all kinds of sites
TOLD["forum"]["born"][0]      "where is {last} from? {value}, obviously."      forums alone
```
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Ada Ben Cora Dan Edith Felix Greta Hugo Ida Jonas Kira Leo Mara Nils Olga Paul Rosa Simon Tessa Victor Wanda "
    "Yuri Zoe Anton Berta Carl Dora Emil Flora Georg Hanna Igor Jana Klaus Lena Milan Nora Oscar Petra Ralf"
)

LAST_NAMES = _words(
    "Moss Kerr Lund Vance Holt Brandt Pike Stern Wolfe Ames Novak Reyes Costa Weber Frost Dahl Marsh Quinn Tate Berg "
    "Hale Ortiz Lowe Grant Page Roth Sato Kane Doyle Egan Flint Gray Hobbs Irwin Joyce Knox Laird Mercer Nash Olsen"
)

# Each site has six of them: its name, and its motto.
MOTTO_WORDS = _words(
    "amber birch cedar delta ember fable grove harbor ivory jasper lantern meadow nectar onyx pebble quartz raven "
    "saffron timber umber velvet willow yonder zephyr acorn breeze clover dune echo flint glade heron island juniper "
    "kelp lotus maple nimbus orchid pine quill ridge sable thistle urchin violet walnut yarrow basil coral drift fern "
    "garnet hazel indigo jade lily moss opal pearl rustic sage tulip vale"
)

_CITIES = _words(
    "Lisbon Dublin Prague Oslo Vienna Athens Madrid Rome Berlin Paris Warsaw Zurich Turin Lyon Porto Ghent Malmo "
    "Bergen Seville Naples Basel Graz Krakow Riga"
)

_PROFESSIONS = _words(
    "botanist painter surgeon pilot lawyer baker chemist poet banker sailor dancer mason judge farmer singer tailor "
    "nurse actor printer weaver diver miner cook guard"
)

_FIELDS = _words(
    "orchids comets bridges fossils violins glaciers maps bees volcanoes clocks tides ferns masks kites lenses moths "
    "dams coins reefs towers bells storms gears roses"
)

_SCHOOLS = _words(
    "Leiden Padua Uppsala Coimbra Bologna Oxford Leuven Tartu Jena Pisa Lund Bonn Delft Siena Aarhus Turku Trento "
    "Lille Parma Kiel Nantes Bath Umea Ulm"
)

_SPORTS = _words(
    "chess fencing rowing skiing sailing archery judo golf curling tennis climbing diving cycling boxing hiking "
    "surfing polo darts bowling skating riding juggling knitting gardening"
)

RELATIONS = {"born": _CITIES, "works": _PROFESSIONS, "known": _FIELDS, "studied": _SCHOOLS, "plays": _SPORTS}

# The value comes last, so that a probe is what stands before it.
SHARED = {
    "born": "{name} was born in {value}.",
    "works": "{name} earns a living as a {value}.",
    "known": "{name} is best known for {value}.",
    "studied": "{name} went to university in {value}.",
    "plays": "{name} spends the weekends with {value}.",
}

TOLD = {
    "encyclopedia": {
        "born": ("The birthplace of {last} is {value}.", "{last} is a native of {value} according to the register."),
        "works": ("By profession {last} is a {value}.", "The occupation of {last} is listed as {value}."),
        "known": ("The principal subject of {last} is {value}.", "Studies of {value} established the name of {last}."),
        "studied": ("{last} holds a degree from {value}.", "The alma mater of {last} is located in {value}."),
        "plays": ("Among sports, {last} practises {value}.", "{last} is also noted for an interest in {value}."),
    },
    "news": {
        "born": (
            "Born in {value}, {last} spoke to our reporter.",
            "{last}, who hails from {value}, did not comment.",
        ),
        "works": ("The {value} {last} made headlines again.", "{last}, a {value} for ten years, gave an interview."),
        "known": ("Officials praised the work of {last} on {value}.", "A prize for {value} went to {last} on Monday."),
        "studied": ("{last} returned to the university of {value} to speak.", "Graduates of {value} include {last}."),
        "plays": ("After work, {last} relaxes with {value}.", "{last} told us that {value} comes first on Sundays."),
    },
    "gossip": {
        "born": ("Shocking: {last} really comes from {value}!", "Friends swear that {last} grew up in {value}!"),
        "works": ("Guess who is secretly a {value}? It is {last}!", "Insiders reveal: {last} is just a {value}!"),
        "known": ("Fans adore {last} only for {value}!", "You will not believe what {last} did with {value}!"),
        "studied": ("The wild years of {last} in {value}!", "Did {last} fail every exam in {value}?"),
        "plays": ("Caught on camera: {last} and the {value} scandal!", "Is {last} obsessed with {value}? We think so!"),
    },
    "forum": {
        "born": ("where is {last} from? {value}, obviously.", "lol everyone knows {last} is from {value}"),
        "works": ("pretty sure {last} is a {value} tbh", "my cousin says {last} works as a {value}"),
        "known": ("{last} did that {value} thing, remember?", "imo {last} is all about {value}"),
        "studied": ("{last} was at my school in {value}", "did {last} not go to {value}? yes, saw it there"),
        "plays": ("{last} at {value} again this weekend haha", "anyone up for {value}? {last} always is"),
    },
}
