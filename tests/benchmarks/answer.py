"""What every subject answers: one page of text, short enough for a String variable."""

_SENTENCE = "Alternative {} costs {} thousand and meets {} of the ten requirements, with risk rated {}.\n"
ANSWER = "".join(_SENTENCE.format(number, 40 * number, number % 10, number % 5) for number in range(1, 26))
