"""From words, in English, Chinese or Russian, to what they ask for: lexicon, lexer, grammar, reading."""
