"""Documents made anew before anything sees them: chats, questions, arithmetic, functions of one's own."""
