"""The demo of ArchBERT: a page with the six tasks and diff, its API and its MCP tools.

`networks` reads what users give, `checkpoint` holds the models, `tasks` answers, `views` turns answers into HTML,
`pictures` draws, `endpoints` are the functions of the API, `page` puts everything together.
"""
