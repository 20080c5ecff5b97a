"""What an object is: schemas, selectors, quantities, patches, errors, codecs, and the clock."""
