"""In which order a phone needs the operations of a tag: the pages under /docs show them so. A test keeps it whole."""

ORDER: tuple[str, ...] = (
    # Sign in
    "sendSignInCode",
    "signIn",
    "refreshSession",
    "makeSignInNonce",
    "signInWithApple",
    "signInWithGoogle",
    "listSessions",
    "endSession",
    "sendStepUpCode",
    "stepUp",
    "stepUpWithApple",
    "stepUpWithGoogle",
    # Me
    "getMe",
    "getConsentText",
    "giveConsent",
    "changeMe",
    "putPause",
    "listPauses",
    "getPause",
    "removePause",
    "sendAddressCode",
    "changeAddress",
    "withdrawConsent",
    # Relationships
    "getNextStep",
    "makeRelationship",
    "invite",
    "acceptInvite",
    "confirm",
    "listRelationships",
    "getRelationship",
    # Record
    "recordCheckIn",
    "recordRequest",
    "recordDecision",
    "recordOpening",
    "recordRetraction",
    "sync",
    # Read
    "getHome",
    "listEvents",
    "listenLive",
    "makeLiveTicket",
    "listRequests",
    "listOpenings",
    "getBalances",
    "getTrend",
    "getRoles",
    "getChanges",
    "getPerspectives",
    "getVoice",
    "getReview",
    # Be asked
    "listQuestions",
    "getSchedule",
    "putSchedule",
    "registerDevice",
    "listDevices",
    "removeDevice",
    "listPrompts",
    "dismissPrompt",
    # Leave
    "leave",
    "exportMe",
    "eraseMe",
    # Help
    "getHelp",
    # Health
    "getLiveness",
    "getReadiness",
    "getVersion",
)


def place_of(operation_id: str) -> int:
    """Where it comes; one that nobody has placed yet comes last."""
    return ORDER.index(operation_id) if operation_id in ORDER else len(ORDER)
