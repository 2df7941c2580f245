"""Parts of a judge behind a chat endpoint: its terms, requests, ledger, and the reading of replies."""
