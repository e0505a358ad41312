"""How many guesses a password is worth: zxcvbn (Wheeler, USENIX Security 2016), bounded.

zxcvbn knows common and breached passwords, words and names (its frequency lists, among them the
head of the Xato ten-million leak; MIT licence), keyboard walks, dates, repeats, sequences and how
people disguise them. To its English lists come the words below: Spanish, this platform's own, and
whatever a guesser of this user's password would try first.
"""

from __future__ import annotations

from zxcvbn import zxcvbn
from zxcvbn.frequency_lists import FREQUENCY_LISTS

MIN_WORD = 3
# Its time grows steeply with disguised letters: at 128 characters three seconds, measured; at these
# it is a few milliseconds, at worst some tens. What one end is worth, the whole is worth.
ASSESSED_CHARS = 24

_SPANISH = """
contraseña contrasena clave secreto acceso hola adios amor amorcito cariño corazon estrella mariposa
bonita hermosa princesa reina tequiero teamo siempre mucho feliz familia madre padre mama papa
hermano hermana amigo amiga perro gato futbol madrid barcelona sevilla valencia españa espana mexico
argentina colombia chile peru venezuela enero febrero marzo abril mayo junio julio agosto septiembre
octubre noviembre diciembre lunes martes miercoles jueves viernes sabado domingo primavera verano
otoño invierno musica cancion guitarra bailar fiesta cerveza cafe playa jesus cristo virgen dios
"""
_OURS = "vibestream vibe vibes stream streaming song songs artist listener listen music playlist"
CONTEXT = tuple(f"{_OURS} {_SPANISH}".split())
# Known as a whole, however long: what leaked most, and the comic's that everybody knows.
KNOWN = frozenset(FREQUENCY_LISTS["passwords"]) | {
    "correcthorsebatterystaple",
    "correct horse battery staple",
}


def guesses(password: str, personal: tuple[str, ...] = ()) -> float:
    """About how many passwords a good guesser tries before this one; 1 for an empty one.

    personal: words that a guesser of this user's password would try first.
    """
    if password.lower() in KNOWN:
        return 1.0
    words = [word.lower() for word in (*personal, *CONTEXT) if len(word) >= MIN_WORD]
    ends = {password[:ASSESSED_CHARS], password[-ASSESSED_CHARS:]} - {""}
    return max((float(zxcvbn(end, user_inputs=words)["guesses"]) for end in ends), default=1.0)
