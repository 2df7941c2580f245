"""One file for each decoding kind; `suites.decoding.registry` imports them."""
