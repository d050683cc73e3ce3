"""What may be asked of a document: fields of templates, prefixes, predicates, ranks."""
