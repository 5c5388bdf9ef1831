"""`python -m nablad.cli`: the same as the command `nablad`."""

from nablad.cli import main

if __name__ == "__main__":
    main()
