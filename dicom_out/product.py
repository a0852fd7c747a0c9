"""What we call ourselves in every object; light to import, so that the receiving side knows our objects again."""

MANUFACTURER = "opacity-node"
RESEARCH_NOTICE = "RESEARCH USE ONLY - not for diagnosis"
