"""The numbers of the study."""

from typing import Annotated, Any

from pydantic import Field

from dynatlas.settings import Count, Positive, Several

Rate = Annotated[Positive, Field(description="step size")]
Rates = Several[Rate]
Steps = Annotated[Count, Field(description="steps of gradient descent")]
Nested = dict[str, Any]
Points = Annotated[Count, Field(description="points on the line")]
