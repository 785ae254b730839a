"""Every sensible recipe on every target that is here, judged by the candidate's own gates, and one recommended."""
