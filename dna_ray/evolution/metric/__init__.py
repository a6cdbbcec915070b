"""The metric language: small programs that say how important each weight is, and nothing else.

symbols      its vocabulary, as two tables
program      a tree of symbols, within limits
source       programs as Python text and back, without ever running text
words        programs as an English line
evaluate     the importances that a program gives
cost         what they cost
founders     the known metrics
grow         random programs
operators    programs made from programs
probes       fixed layers to try programs on
gate         which programs may enter a population
"""
