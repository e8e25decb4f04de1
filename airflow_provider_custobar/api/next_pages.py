"""From page to page: which address comes next, and how early that is known."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.messages import Request
from airflow_provider_custobar.api.pages import NEXT_URL_HEADER


class NextPages:
    """The addresses of one chain of pages: ``request`` is the one to send now, None after the last page.

    No address is followed twice. ``is_begun`` tells that the driver was given ``request`` ahead of its turn.
    """

    def __init__(self, config: ClientConfig, name: str, url: str) -> None:
        self.request: Request | None = Request("GET", url, ahead=self._ahead)
        self.is_begun = False
        self._config = config
        self._name = name
        self._asked = {url}
        self._url = url
        self._given: Request | None = None
        self._heads = 0
        self._heads_are_right = True

    def follow(self, target: str | None) -> None:
        """Go on to the page that the present one names.

        :raises ProtocolError: it was there before, or lies outside the origin.
        """
        url = target and self._resolve(target)
        if url in self._asked:
            raise ProtocolError(
                f"The API names a next page of {self._name} that was fetched already: paging would never end. Nothing of"
                " this export is to be trusted; start it again, and tell Custobar if it stays so."
            )
        given, heads = self._given, self._heads
        self._given, self._heads = None, 0
        self.is_begun = given is not None and given.url == url
        if given is not None and not self.is_begun and heads == 1:
            # A page that was asked for twice may have got another cursor; but one whose head and body differ shows that
            # the requests ahead would all be in vain.
            self._heads_are_right = False
        if not url:
            self.request = None
            return
        self._asked.add(url)
        self._url = url
        self.request = given if self.is_begun else Request("GET", url, ahead=self._ahead)

    def _resolve(self, target: str) -> str:
        return self._config.resolve(target, self._url, what="next_url")

    def _ahead(self, headers: Mapping[str, str]) -> Request | None:
        """The next page's request, once for each page; whatever is wrong with it is told when the page has been read."""
        self._heads += 1
        target = headers.get(NEXT_URL_HEADER)
        if self._given is None and target and self._heads_are_right:
            try:
                url = self._resolve(target)
            except ProtocolError:
                return None
            if url not in self._asked:
                self._given = Request("GET", url, ahead=self._ahead)
        return self._given
