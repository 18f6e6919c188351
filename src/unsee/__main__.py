"""`python -m unsee` is the command `unsee`, for machines where the script is not on the path."""

from unsee.cli import main

if __name__ == "__main__":
    main()
