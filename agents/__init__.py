"""Who answers: one folder per agent."""
