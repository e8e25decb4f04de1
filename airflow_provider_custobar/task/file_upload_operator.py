"""Uploads of files; operators differ in the store that the files are in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_custobar.stores.reading import place_of
from airflow_provider_custobar.task.lineage import stored_dataset
from airflow_provider_custobar.task.upload_operator import CustobarUploadBaseOperator
from airflow_provider_custobar.upload.options import UploadCompression, UploadFormat, check_file_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_custobar.stores.protocol import StoredObject


class FileUploadOperator(CustobarUploadBaseOperator):
    """
    Send the rows of one or more files to Custobar, in batches, after all of them were checked.

    Files are read once, a piece at a time: memory does not grow with them. Several files are read in the order of their names
    and are one upload.

    A file that bears exactly the name given is taken, whatever its characters are. Else the name is a pattern, in which ``*``,
    ``?`` and ``[...]`` stand for characters of one folder or file name, and ``**`` for any folders; one that ends in a slash
    is a prefix. Neither stands for names of files or folders that begin with ``.`` or ``_``, such as ``_SUCCESS``.

    Takes the arguments of
    :class:`~airflow_provider_custobar.task.upload_operator.CustobarUploadBaseOperator`, and:

    :param file_format: ``csv`` (names in the first filled line), ``json`` (one array, alone or the only member of an object),
        ``jsonl``, ``parquet``, or ``infer``, from the name's ending. CSV cells become values of their field's type.
    :param compression: ``gzip``, ``zstd``, ``infer`` from the name's ending, or None. The ``Content-Encoding`` that a store has
        of an object is undone before.
    :param encoding: Of CSV and JSON texts, in any spelling that Python knows; a byte order mark is no part of them. (templated)
    :param delimiter: The character between two cells of CSV, such as ``|`` or ``\\t``. By default Excel's ``sep=`` line tells
        it, or it is the one of comma, semicolon and tab that stands most often in the header, outside quotes. (templated)
    :param clear_empty: Let an empty CSV cell remove the field in Custobar. By default it is left out of the upload.
    """

    common_template_fields: ClassVar[tuple[str, ...]] = (
        *CustobarUploadBaseOperator.common_template_fields,
        "encoding",
        "delimiter",
    )

    def __init__(
        self,
        *,
        file_format: UploadFormat = "infer",
        compression: UploadCompression = "infer",
        encoding: str = "utf-8",
        delimiter: str | None = None,
        clear_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_file_arguments(file_format, compression)
        self.file_format = file_format
        self.compression = compression
        self.encoding = encoding
        self.delimiter = delimiter
        self.clear_empty = clear_empty
        self._sought = ""
        self._objects: list[StoredObject] = []

    @abstractmethod
    def find_objects(self) -> list[StoredObject]:
        """The files that the arguments name, in the order of their names; see
        :func:`~airflow_provider_custobar.stores.reading.find`, whose name goes to ``_sought``, too.
        """

    @property
    def source_uris(self) -> Sequence[str]:
        return [each.uri for each in self._objects]

    def make_rows(self, context: Context) -> Iterable[object]:
        # Only here, as in the hook's upload.
        from airflow_provider_custobar.upload.files import File, FileRows  # noqa: PLC0415

        self._objects = self.find_objects()
        self.lineage.note(inputs=lambda: [stored_dataset(place_of(self._sought, self._objects))])
        if len(self._objects) > 1:
            self.log.info("%s files, from %s to %s", len(self._objects), self._objects[0].uri, self._objects[-1].uri)
        return FileRows(
            [File(name=each.uri, open=each.open, content_encoding=each.content_encoding) for each in self._objects],
            file_format=self.file_format,
            compression=self.compression,
            encoding=self.encoding,
            delimiter=self.delimiter,
        )
