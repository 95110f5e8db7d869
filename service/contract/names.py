"""What schemas are called in the contract document, where that is not the name of their struct, and its named enums.

A client in Swift, Kotlin or TypeScript gets a type for each. Names like Request, Page or Change are taken there, or say
too little without a package around them; a list of words that stands in ten places becomes one type with one name.
"""

from typing import Any, Literal, get_args

from events.entries import Audience, Concern, Domain, EntryKind, FeltItem, Kind, MyInput, Who
from projections.changes import CountedReading
from projections.changes import Reading as SplitChangeReading
from projections.month_texts import SentenceId
from projections.requests import Listed
from projections.requests import State as RequestState
from projections.statistics import AnswersReading, SplitReading
from projections.trends import Measure, When
from projections.windows import FigureName
from service.access.memberships import RelationshipState
from service.accounts.id_tokens import ProviderName
from service.prompts.catalogue import AfterQuestion, QuestionId, SelfQuestion
from service.prompts.prompts_api import ShownState
from service.prompts.schedule import Weekday
from service.push.addresses import Environment, Platform, PushProvider

# By the name of the struct; the others are called as their struct is. A list of things is never called as the property
# that holds them: a generator that makes variables of both, as Python's does, mixes them up.
SCHEMA_NAMES = {
    "Accept": "InviteAcceptance",
    "Accepted": "AcceptedInvite",
    "AddressProof": "AddressCode",
    "AddressWanted": "AddressCodeRequest",
    "Answers": "CountedAnswers",
    "Attempt": "SignInAttempt",
    "Cell": "HomeCell",
    "Change": "ProfileChange",
    "ChangesTold": "TellingChanges",
    "CheckIn": "CheckInEntry",
    "CodeWanted": "SignInCodeRequest",
    "Consent": "ConsentState",
    "Counted": "CountedByDecider",
    "Decision": "DecisionEntry",
    "Device": "Session",
    "Devices": "SessionList",
    "Export": "MemberExport",
    "Felt": "FeltAnswers",
    "Head": "StreamHead",
    "Heard": "VoiceCounts",
    "Nothing": "EmptyObject",
    "Now": "HomeWindow",
    "Opening": "OpeningEntry",
    "Openings": "OpeningList",
    "Page": "EventPage",
    "Pauses": "PauseList",
    "Place": "HelpPlace",
    "Point": "TrendPoint",
    "Prompts": "PromptList",
    "Proof": "EventProof",
    "Question": "CatalogueQuestion",
    "Questions": "QuestionList",
    "Quiet": "QuietHours",
    "Refresh": "SessionRefresh",
    "RegisteredDevice": "Device",
    "RegisteredDevices": "DeviceList",
    "Registration": "DeviceRegistration",
    "Relationships": "RelationshipList",
    "Request": "RequestEntry",
    "Requests": "RequestList",
    "Retraction": "RetractionEntry",
    "RolesTold": "TellingRoles",
    "Sentence": "ReviewSentence",
    "Spoken": "OpeningSpoken",
    "StepUp": "StepUpCode",
    "Sync": "OfflineQueue",
    "SyncEntry": "QueuedEntry",
    "SyncResult": "QueuedResult",
    "Synced": "SyncAnswer",
    "Tellings": "TellingsBeside",
}

# In the order in which their values are shown. Two with the same values are one type, under one name.
ENUMS: dict[str, Any] = {
    "Who": Who,
    "Domain": Domain,
    "FeltItem": FeltItem,
    "Concern": Concern,
    "Audience": Audience,
    "CheckInAudience": Literal["private", "shared", "sealed"],
    "SealedFor": Literal["about", "day", "week"],
    "DecisionSize": Literal["small", "big"],
    "RequestOutcome": Literal["yes", "not_now", "no"],
    "MyInput": MyInput,
    "EventKind": Kind,
    "EntryKind": EntryKind,
    "EventAuthor": Literal["me", "partner"],
    "RequestState": RequestState,
    "RequestsShown": Listed,
    "OpeningState": Literal["open", "decided", "withdrawn"],
    "Figure": FigureName,
    "Measure": Measure,
    "PerspectiveMeasure": Literal["initiates", "decides", "felt"],
    "CountedWhen": When,
    "SplitReading": SplitReading,
    "CountedReading": AnswersReading,
    "TrendReading": Literal[SplitReading, "shown"],
    "SplitChangeReading": SplitChangeReading,
    "CountedChangeReading": CountedReading,
    "TellingsRelation": Literal["same", "differ"],
    "RelationshipState": RelationshipState,
    "NextAction": Literal["consent", "begin", "invite", "wait_for_accept", "confirm", "wait_for_confirm", "look"],
    "QueuedStatus": Literal["recorded", "replayed", "conflict", "refused"],
    "Weekday": Weekday,
    "ScheduledQuestion": Literal[FeltItem, SelfQuestion],
    "AfterEventQuestion": Literal[AfterQuestion, FeltItem],
    "QuestionId": QuestionId,
    "QuestionPlace": Literal["felt", "after", "self", "opening"],
    "QuestionForm": Literal["felt", "words"],
    "PromptState": ShownState,
    "PromptReason": Literal["schedule", "after_event"],
    "Platform": Platform,
    "PushProvider": PushProvider,
    "PushEnvironment": Environment,
    "IdentityProvider": ProviderName,
    "ExportFormat": Literal["json", "csv"],
    "HelpKind": Literal["partner_violence", "sexual_violence", "crisis"],
    "HelpFor": Literal["everyone", "women", "men"],
    "SentenceId": SentenceId,
}

# Values may be added to these with any release: a client needs a case for what it does not know.
MAY_GROW = {
    "ErrorCode": "Shows `detail` instead.",
    "EventKind": "Skips the event.",
    "HelpKind": "Shows the place nevertheless.",
    "NextAction": "Looks at the relationship.",
    "PromptReason": "Asks the questions nevertheless.",
    "QuestionId": "Leaves the question out.",
    "SentenceId": "Shows `text`.",
    "SplitReading": "Shows the numbers alone.",
    "TrendReading": "Shows the numbers alone.",
}

BY_VALUES: dict[frozenset[str], str] = {frozenset(get_args(alias)): name for name, alias in ENUMS.items()}


def schema_name(struct: str) -> str:
    """The name of a struct's schema."""
    return SCHEMA_NAMES.get(struct, struct)
