"""Text as tokens, for every package: tokenizers as they were saved, texts without control tokens, and decoding."""
