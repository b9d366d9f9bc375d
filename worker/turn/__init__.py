"""One turn: task → request → answer → verdict, and the exchange that the transcript gets of it."""
