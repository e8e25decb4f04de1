"""The customers API of a store at Spiffy Stores, simulated.

Sources of what is simulated, as the modules name them:

- P1: Spiffy Stores' documentation of customers, https://www.spiffystores.com.au/kb/API_Customer
- P2: Spiffy Stores' page about using the API, https://www.spiffystores.com.au/kb/Using_the_API
- P4: Spiffy Stores' documentation of the store, https://spiffystores.com.au/kb/API_Store
- P5: Spiffy Stores' own Ruby client, https://github.com/SpiffyStores/spiffy_stores_api
- P6: the rate limiter whose header that client reads, https://github.com/jeremy/rack-ratelimit

"Our choice" marks what none of them says.
"""
