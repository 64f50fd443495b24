"""mapping.search"""
