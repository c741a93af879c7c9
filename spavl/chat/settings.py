"""Settings of the chat backends, one model per backend, told apart by their key `backend`."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spavl.chat.interface import Sampling


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TransformersSettings(_Settings):
    """A model run in this process."""

    backend: Literal["transformers"]
    model: str | None = Field(
        default=None, description="Folder of the model; none is the base model of the run."
    )
    batch_size: int = Field(default=32, ge=1, description="Requests answered at once.")


class OpenAISettings(_Settings):
    """An endpoint that speaks OpenAI's chat completions: vLLM, KServe, Gemini, GPT and others."""

    backend: Literal["openai"]
    base_url: str = Field(
        pattern=r"^https?://", description="Up to and including the version, e.g. http://host/v1."
    )
    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    api_key_env: str | None = Field(
        default=None, description="Environment variable that holds the key; none sends no key."
    )
    concurrency: int = Field(default=32, ge=1, description="Requests under way at once.")
    requests_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="Limit on requests that a task starts a minute; none is no limit.",
    )
    tokens_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="Limit on tokens that a task reads and writes a minute, on average; none is "
        "no limit.",
    )
    timeout_seconds: float = Field(
        default=600,
        gt=0,
        description="How long an answer is waited for, seconds; five times the median of the "
        "answers so far where that is longer, since an answer that is given up is paid for all the "
        "same. Before the first answer three times as long, up to ten minutes.",
    )
    max_attempts: int = Field(
        default=6,
        ge=1,
        description="Attempts at one request; the second that is given up for its time, after "
        "twice as long, is the last.",
    )
    backoff_seconds: float = Field(
        default=1.0, ge=0, description="First wait after a failure; doubles with each, with jitter."
    )
    max_wait_seconds: float = Field(
        default=120, ge=0, description="Longest wait between attempts, Retry-After included."
    )
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="What the endpoint calls the limit on an answer's tokens."
    )
    send_seed: bool = Field(
        default=True, description="Whether to send a seed; some endpoints refuse the field."
    )
    send_temperature: bool = Field(
        default=True,
        description="Whether to send the temperature; endpoints that refuse the field take their "
        "own.",
    )
    send_top_p: bool = Field(
        default=True,
        description="Whether to send `top_p` where it is not 1; endpoints that refuse the field "
        "take their own.",
    )
    max_set_aside: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of requests that may stay unserved before the stage ends; what an "
        "endpoint refuses for its content does not count.",
    )
    prompt_price: float | None = Field(
        default=None, ge=0, description="Price of a million tokens read, in any currency."
    )
    completion_price: float | None = Field(
        default=None, ge=0, description="Price of a million tokens written, in the same."
    )
    budget: float | None = Field(
        default=None,
        ge=0,
        description="Money that a run's calls to this endpoint may cost, in the same; then the "
        "stage ends and can be gone on with. It needs both prices.",
    )
    picture_tokens: int = Field(
        default=576,
        ge=0,
        description="Tokens that a picture is charged as, for `spavl plan` and for a budget's "
        "first calls.",
    )
    characters_per_token: float = Field(
        default=4.0, gt=0, description="Characters of a token of text, for the same."
    )
    expected_model: str | None = Field(
        default=None,
        description="Words of the name that answers carry as their model; answers of others are "
        "asked for again. None is `model`; an empty text takes every answer.",
    )

    @model_validator(mode="after")
    def _one_way_to_say_who_asks(self) -> Self:
        if self.api_key_env is not None and "@" in urlsplit(self.base_url).netloc:
            raise ValueError("a user in base_url and a key by api_key_env: leave one of them out")
        return self

    @model_validator(mode="after")
    def _a_price_where_there_is_a_budget(self) -> Self:
        if self.budget is not None and None in (self.prompt_price, self.completion_price):
            raise ValueError("a budget needs prompt_price and completion_price; 0 is free")
        return self


class VllmSettings(_Settings):
    """A model that a step serves to itself with `vllm serve`, and asks as an endpoint."""

    backend: Literal["vllm"]
    model: str = Field(min_length=1, description="Folder of the model, or its name on the hub.")
    arguments: tuple[str, ...] = Field(
        default=(), description="Further arguments of `vllm serve`, e.g. `--dtype=bfloat16`."
    )
    start_seconds: float = Field(
        default=1800, gt=0, description="How long it may take to load, seconds."
    )
    concurrency: int = Field(default=64, ge=1, description="Requests under way at once.")
    timeout_seconds: float = Field(default=600, gt=0, description="Limit of one attempt, seconds.")


class PocketTemplatesSettings(_Settings):
    """The pocket world's writer of questions."""

    backend: Literal["pocket_templates"]


ChatSettings = Annotated[
    TransformersSettings | OpenAISettings | VllmSettings | PocketTemplatesSettings,
    Field(discriminator="backend"),
]


class SamplingSettings(_Settings):
    """How answers are drawn; the seed derives from the stage's."""

    max_new_tokens: int = Field(default=48, ge=1, description="Token limit of an answer.")
    temperature: float = Field(default=0.0, ge=0, le=10, description="0 is greedy decoding.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Nucleus sampling's share.")
    expected_tokens: float | None = Field(
        default=None,
        ge=0,
        description="Tokens of an answer as `spavl plan` expects it; none is what earlier runs "
        "saw, else what is usual of its kind. No answer depends on it.",
    )

    def sampling(self, seed: int) -> Sampling:
        """These settings with a seed."""
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, seed)
