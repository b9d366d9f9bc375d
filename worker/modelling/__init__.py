"""What a modeller wrote and what becomes of it: properties, inputs, the question, the form of the answer. Pure."""
