"""Vendors' libraries that ask other programs for tokens, in one process through several lifetimes.

use_tokens.py azure-cli|azure-developer-cli --url URL --scope SCOPE --seconds N
use_tokens.py google --seconds N            (GOOGLE_APPLICATION_CREDENTIALS names the credential file)

Prints how often a token was used. An error ends it with its class and text on stderr and exit code 1.
"""

import argparse
import sys
import time
import urllib.request


def use_azure(credential, arguments):
    token = credential.get_token(arguments.scope)
    assert token.expires_on >= time.time() - 1, "an expiry that is past"
    request = urllib.request.Request(arguments.url, headers={"Authorization": "Bearer " + token.token})
    urllib.request.urlopen(request).read()


def use_google(credential, _arguments):
    from google.auth.transport.requests import Request

    credential.refresh(Request())
    assert credential.token


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--url")
    parser.add_argument("--scope")
    parser.add_argument("--seconds", type=float, default=0)
    arguments = parser.parse_args()
    if arguments.kind == "google":
        import google.auth

        credential, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        use = use_google
    else:
        import azure.identity

        names = {"azure-cli": "AzureCliCredential", "azure-developer-cli": "AzureDeveloperCliCredential"}
        credential = getattr(azure.identity, names[arguments.kind])()
        use = use_azure
    used, end = 0, time.monotonic() + arguments.seconds
    while True:
        use(credential, arguments)
        used += 1
        if time.monotonic() >= end:
            break
        time.sleep(0.1)
    print(used)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the test reads it
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
