"""How guessable a password is: a short common-word list and the patterns people pad them with.

In the manner of zxcvbn (Wheeler, USENIX Security 2016), reduced to what a floor needs: the password
is cut greedily into the longest parts that a guesser has at the top of the list (a common word in
any of its spellings, a run, a repeat, a keyboard row, a year, the user's own name), and every part
and every remaining character counts as one guess to find.
"""

from __future__ import annotations

# The heads of published breach counts and what twelve-character passwords are usually made of.
_LIST = """
123456 password 12345678 qwerty 123456789 12345 1234 111111 1234567 dragon 123123 baseball abc123
football monkey letmein shadow master 696969 michael mustang access batman trustno1 superman
princess iloveyou welcome admin administrator login passw0rd password1 sunshine starwars whatever
freedom ninja azerty solo loveme flower hottie secret charlie donald hello root toor test testing
guest default changeme change please pass word user username system server computer internet
google facebook apple samsung windows microsoft linux android iphone spotify music musica
vibestream vibe stream song artist listen player guitar rocknroll hiphop money bitcoin lovely love
lover loves forever angel angels baby babygirl jesus christ amen god heaven summer winter spring
autumn monday tuesday wednesday thursday friday saturday sunday january february march april may
june july august september october november december soccer basketball hockey tennis chelsea
arsenal liverpool barcelona realmadrid juventus real madrid futbol pokemon pikachu naruto
minecraft fortnite cheese chocolate cookie banana orange purple yellow silver golden black white
green blue red killer hunter ranger tiger eagle eagles falcon yankees cowboys steelers lakers
jordan jordan23 michelle jessica ashley jennifer nicole daniel andrew thomas robert george william
joshua matthew anthony richard maria jose carlos alejandro teamo tequiero contrasena contraseña
clave secreto amor amorcito estrella corazon mariposa bonita hola hola1234 mexico argentina
colombia espana madre padre mother father sister brother family friend friends mine mypassword
thepassword our this that the and you are for not new old one two three four five six seven eight
nine ten zero correct horse battery staple correcthorsebatterystaple qazwsx zaq12wsx 1q2w3e
1q2w3e4r 1q2w3e4r5t q1w2e3r4 asd zxc qwe asdf zxcv qwer asdfgh zxcvbn qwertz azertyuiop aaaa temp
temporal private public office company business enter access open sesame opensesame letme in
"""
COMMON_WORDS = frozenset(_LIST.split())
ROWS = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "qazwsxedcrfvtgbyhnujmikolp",
    "!@#$%^&*()",
)
MIN_RUN = 3
LEET = str.maketrans("0134578@$!+", "oleastbasit")
_LONGEST_WORD = max(map(len, COMMON_WORDS))
_LINES = ROWS + tuple(row[::-1] for row in ROWS)


def guesses_needed(password: str, personal: tuple[str, ...] = ()) -> int:
    """The number of parts a guesser must find. O(n · longest word)."""
    text = _without_repetition(password.lower())
    words = COMMON_WORDS | {w.lower() for w in personal if len(w) >= MIN_RUN}
    plain = text.translate(LEET)
    longest = max(_LONGEST_WORD, *(len(w) for w in personal), 0) if personal else _LONGEST_WORD
    parts = position = 0
    while position < len(text):
        parts += 1
        position += max(
            1,
            _word_at(text, position, words, longest),
            _word_at(plain, position, words, longest),
            _run_at(text, position),
            _year_at(text, position),
        )
    return parts


def _without_repetition(text: str) -> str:
    """`abcabcabc` is as hard as `abc`: the shortest period that gives the whole."""
    for period in range(1, len(text) // 2 + 1):
        whole, rest = divmod(len(text), period)
        if text[:period] * whole + text[:rest] == text:
            return text[:period]
    return text


def _word_at(text: str, start: int, words: frozenset[str], longest: int) -> int:
    for length in range(min(longest, len(text) - start), MIN_RUN - 1, -1):
        if text[start : start + length] in words:
            return length
    return 0


def _run_at(text: str, start: int) -> int:
    """The length of a repeat (`aaaa`) or of a stretch of a row (`3456`, `lkjh`) here."""
    best = 1
    while start + best < len(text) and text[start + best] == text[start]:
        best += 1
    for line in _LINES:
        at = line.find(text[start : start + MIN_RUN])
        if at < 0 or len(text) - start < MIN_RUN:
            continue
        length = MIN_RUN
        while text[start : start + length + 1] == line[at : at + length + 1] and (
            start + length < len(text) and at + length < len(line)
        ):
            length += 1
        best = max(best, length)
    return best if best >= MIN_RUN else 1


def _year_at(text: str, start: int) -> int:
    part = text[start : start + 4]
    return 4 if len(part) == 4 and part.isdigit() and part[:2] in {"19", "20"} else 0
