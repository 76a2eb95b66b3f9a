"""The numbers of the study."""

from typing import Annotated

from pydantic import Field

from dynatlas.settings import Count, Positive

Rate = Annotated[Positive, Field(description="learning rate of Adam")]
Steps = Annotated[Count, Field(description="updates")]
