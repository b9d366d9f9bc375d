"""From the poll to the word that the engine gets: fetching, locks, slots, waiting, delivery, outages."""
