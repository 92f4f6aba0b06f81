"""The commands of ``planctonctl``, one module for each group."""
